"""The Caffe frontend of cvi."""
