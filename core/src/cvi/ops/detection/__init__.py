"""What stands at the end of detectors: lists of boxes out of feature maps.

`evaluate` is the layer's right meaning. Of boxes of one class that overlap, the ones with
lower scores go; equal scores keep the order in which the boxes are found.
"""

from cvi.ops.detection.base import Detection
from cvi.ops.detection.frcn import FrcnDetection
from cvi.ops.detection.prior_box import prior_boxes
from cvi.ops.detection.proposal import Proposal
from cvi.ops.detection.retinaface import RetinaFaceDetection
from cvi.ops.detection.roi_pooling import RoiPooling
from cvi.ops.detection.ssd import DetectionOutput
from cvi.ops.detection.yolo import YoloDetection

__all__ = [
    "Detection",
    "DetectionOutput",
    "FrcnDetection",
    "Proposal",
    "RetinaFaceDetection",
    "RoiPooling",
    "YoloDetection",
    "prior_boxes",
]
