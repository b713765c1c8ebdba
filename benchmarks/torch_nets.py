"""Small PyTorch networks with random weights, one per thing that exporters write in ways of
their own: blocks of well-known architectures, written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Net:
    """A network and the shapes of its inputs."""

    name: str
    make: Callable[[], nn.Module]
    shapes: tuple[Shape, ...] = ((1, 3, 32, 32),)


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Any:
        return self.function(*tensors)


def conv(i: int, o: int, k: int = 3, s: int = 1, g: int = 1, act: Any = nn.ReLU) -> nn.Sequential:
    """Convolution, batch normalisation, activation."""
    return nn.Sequential(
        nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o), act()
    )


class Residual(nn.Module):
    """A block of ResNet with a projection."""

    def __init__(self, i: int = 3, o: int = 8, stride: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(i, o, 3, stride), conv(o, o, act=nn.Identity))
        self.skip = conv(i, o, 1, stride, act=nn.Identity)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class Excite(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, hard: bool = False) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 2, 1),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 1),
            nn.Hardsigmoid() if hard else nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x)


class Inverted(nn.Module):
    """An inverted residual of MobileNetV3."""

    def __init__(self, act: Any = nn.Hardswish, hard: bool = True) -> None:
        super().__init__()
        self.stem = conv(3, 8, 3, 2, act=act)
        self.body = nn.Sequential(
            conv(8, 16, 1, act=act), conv(16, 16, 5, g=16, act=act), Excite(16, hard),
            conv(16, 8, 1, act=nn.Identity),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return x + self.body(x)


class ChannelsLastNorm(nn.Module):
    """LayerNorm over the channels of an image, as ConvNeXt has it in its stem."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels) + 0.5)
        self.bias = nn.Parameter(torch.randn(channels) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        var = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(var + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class ConvNext(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, 4), ChannelsLastNorm(8))
        self.depth = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm = nn.LayerNorm(8, eps=1e-6)
        self.body = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8))
        self.gamma = nn.Parameter(torch.rand(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.body(y)).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Multi-head self attention by scaled_dot_product_attention."""

    def __init__(self, width: int = 16, heads: int = 2, causal: bool = False) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=self.causal)
        return self.out(y.transpose(1, 2).reshape(b, n, c))


class Vit(nn.Module):
    """A vision transformer of one block."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 17, 16))
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = Attention()
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(x[:, 0])


class EinsumAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(3, 24, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        q, k, v = (t.reshape(b, 2, 4, h * w) for t in self.qkv(x).chunk(3, 1))
        scores = torch.einsum("bhdi,bhdj->bhij", q * 0.5, k).softmax(-1)
        return torch.einsum("bhij,bhdj->bhid", scores, v).permute(0, 1, 3, 2).reshape(b, 8, h, w)


class Rnn(nn.Module):
    """A classifier of sequences; what: "last" state, "all" outputs or "cell"."""

    def __init__(self, kind: Any, what: str = "last", **options: Any) -> None:
        super().__init__()
        self.rnn = kind(6, 8, batch_first=True, **options)
        self.head = nn.Linear(16 if options.get("bidirectional") else 8, 4)
        self.what = what

    def forward(self, x: Tensor) -> Any:
        y, state = self.rnn(x)
        if self.what == "state":
            hidden = state[0] if isinstance(state, tuple) else state
            return self.head(torch.cat([hidden[-2], hidden[-1]], -1) if len(hidden) % 2 == 0
                             and self.rnn.bidirectional else hidden[-1])  # fmt: skip
        if self.what == "all":
            return y, state
        return self.head(y[:, -1])


class Unet(nn.Module):
    def __init__(self, mode: str = "bilinear", corners: bool | None = True) -> None:
        super().__init__()
        self.down1, self.down2 = conv(3, 8), conv(8, 16)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode=mode, align_corners=corners)
        self.transposed = nn.ConvTranspose2d(8, 8, 2, 2)
        self.up1, self.last = conv(24, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(self.pool(a))
        y = self.up1(torch.cat([self.up(b), a], 1))
        return torch.sigmoid(self.last(self.transposed(self.pool(y))))


class YoloV5(nn.Module):
    """The decoding head of YOLOv5, with its grid."""

    def __init__(self, hidden: int = 8, classes: int = 3) -> None:
        super().__init__()
        self.stem = conv(3, hidden, 3, 4, act=nn.SiLU)
        self.head = nn.Conv2d(hidden, 3 * (5 + classes), 1)
        self.register_buffer("anchors", torch.tensor([[10.0, 13], [16, 30], [33, 23]]))
        self.outputs = 5 + classes

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(self.stem(x))
        b, _, h, w = y.shape
        y = y.view(b, 3, self.outputs, h, w).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
        rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        grid = torch.stack((columns, rows), 2).expand(1, 3, h, w, 2).float()
        centre = (y[..., 0:2] * 2 + (grid - 0.5)) * 4
        size = (y[..., 2:4] * 2) ** 2 * self.anchors.view(1, 3, 1, 1, 2)
        return torch.cat((centre, size, y[..., 4:]), -1).view(b, -1, self.outputs)


class YoloV8(nn.Module):
    """The decoding head of YOLOv8: distribution of distances, then boxes."""

    def __init__(self, bins: int = 4, classes: int = 3) -> None:
        super().__init__()
        self.stem = conv(3, 8, 3, 4, act=nn.SiLU)
        self.next = conv(8, 8, 3, 2, act=nn.SiLU)
        self.box = nn.ModuleList([nn.Conv2d(8, 4 * bins, 1) for _ in range(2)])
        self.cls = nn.ModuleList([nn.Conv2d(8, classes, 1) for _ in range(2)])
        self.dfl = nn.Conv2d(bins, 1, 1, bias=False)
        self.bins, self.classes = bins, classes

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.stem(x)]
        levels.append(self.next(levels[0]))
        anchors, strides, flat = [], [], []
        for level, box, cls, stride in zip(levels, self.box, self.cls, (4.0, 8.0), strict=True):
            h, w = level.shape[2:]
            y, x_ = torch.arange(h) + 0.5, torch.arange(w) + 0.5
            grid = torch.meshgrid(y, x_, indexing="ij")
            anchors.append(torch.stack((grid[1], grid[0]), -1).view(-1, 2))
            strides.append(torch.full((h * w, 1), stride))
            flat.append(torch.cat((box(level), cls(level)), 1).flatten(2))
        box, cls = torch.cat(flat, 2).split((4 * self.bins, self.classes), 1)
        b, _, a = box.shape
        box = self.dfl(box.view(b, 4, self.bins, a).transpose(2, 1).softmax(1)).view(b, 4, a)
        near, far = box.chunk(2, 1)
        points, scale = torch.cat(anchors).T[None], torch.cat(strides).T
        low, high = points - near, points + far
        boxes = torch.cat(((low + high) / 2, high - low), 1) * scale
        return torch.cat((boxes, cls.sigmoid()), 1)


class Focus(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(12, 8)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.conv(torch.cat(parts, 1))


class Shuffle(nn.Module):
    """A unit of ShuffleNetV2."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.branch = nn.Sequential(conv(4, 4, 1), conv(4, 4, g=4), conv(4, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.stem(x).chunk(2, 1)
        y = torch.cat((left, self.branch(right)), 1)
        b, c, h, w = y.shape
        return y.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class WindowAttention(nn.Module):
    """The shifted windows of a Swin transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.norm, self.attention = nn.LayerNorm(16), Attention()

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.patch(x).permute(0, 2, 3, 1))
        shifted = torch.roll(x, (-2, -2), (1, 2))
        b, h, w, c = shifted.shape
        windows = shifted.view(b, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5)
        y = self.attention(windows.reshape(-1, 16, c))
        y = y.view(b, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        return torch.roll(y, (2, 2), (1, 2)).permute(0, 3, 1, 2)


class WeightNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.utils.parametrizations.weight_norm(nn.Conv1d(6, 8, 3, padding=1))
        self.b = nn.utils.parametrizations.weight_norm(nn.ConvTranspose1d(8, 4, 4, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.b(F.leaky_relu(self.a(x), 0.1)))


class Separable(nn.Module):
    """A keyword spotter on spectrograms: 1-D depthwise convolutions and a pooled classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(10, 10, 5, padding=4, dilation=2, groups=10), nn.Conv1d(10, 16, 1),
            nn.BatchNorm1d(16), nn.PReLU(16), nn.AvgPool1d(2), nn.MaxPool1d(2),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 4), nn.LogSoftmax(1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def resized(mode: str, size: Any = None, factor: Any = None, corners: bool | None = None) -> Any:
    return lambda: Function(
        lambda x: F.interpolate(x, size=size, scale_factor=factor, mode=mode, align_corners=corners)
    )


def through(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*layers)


def function(f: Callable[..., Any]) -> Callable[[], nn.Module]:
    return lambda: Function(f)


_SEQUENCE = ((2, 7, 6),)
_RNN = ((1, 7, 6),)
_MAP = ((2, 8, 6, 10),)

NETS = (
    Net("residual", Residual),
    Net("excite", through(nn.Conv2d(3, 8, 3), Excite(8))),
    Net("inverted", Inverted),
    Net("inverted_silu", lambda: Inverted(nn.SiLU, False)),
    Net("inverted_mish", lambda: Inverted(nn.Mish)),
    Net("convnext", ConvNext),
    Net("vit", Vit),
    Net("causal_attention", lambda: Attention(causal=True), ((1, 9, 16),)),
    Net("encoder_layer", lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        ((1, 9, 16),)),
    Net("multihead", lambda: MultiHead(), ((1, 9, 16),)),
    Net("swin_window", WindowAttention),
    Net("einsum_attention", EinsumAttention, ((1, 3, 6, 6),)),
    Net("lstm", lambda: Rnn(nn.LSTM), _RNN),
    Net("lstm_all", lambda: Rnn(nn.LSTM, "all"), _RNN),
    Net("lstm_two_way", lambda: Rnn(nn.LSTM, bidirectional=True), _RNN),
    Net("lstm_deep_state", lambda: Rnn(nn.LSTM, "state", num_layers=2), _RNN),
    Net("gru", lambda: Rnn(nn.GRU), _RNN),
    Net("gru_two_way_state", lambda: Rnn(nn.GRU, "state", bidirectional=True), _RNN),
    Net("gru_batch", lambda: Rnn(nn.GRU), _SEQUENCE),
    Net("unet", Unet),
    Net("unet_half_pixel", lambda: Unet(corners=False)),
    Net("unet_nearest", lambda: Unet("nearest", None)),
    Net("yolov5_head", YoloV5),
    Net("yolov8_head", YoloV8),
    Net("pixel_shuffle", through(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))),
    Net("pixel_unshuffle", through(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 1))),
    Net("focus", Focus),
    Net("channel_shuffle", Shuffle),
    Net("weight_norm", WeightNormed, ((1, 6, 12),)),
    Net("keyword_spotter", Separable, ((1, 10, 40),)),
    Net("group_norm", through(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.ReLU())),
    Net("instance_norm", through(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True))),
    Net("local_response_norm", through(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(3))),
    Net("layer_norm_2d", through(nn.Conv2d(3, 8, 3), nn.LayerNorm((8, 30, 30)))),
    Net("rms_norm", through(nn.Linear(16, 16), nn.RMSNorm(16)), ((2, 5, 16),)),
    Net("channels_last_norm", lambda: ChannelsLastNorm(8), _MAP),
    Net("adaptive_pools", function(lambda x: (F.adaptive_avg_pool2d(x, (3, 5)),
                                              F.adaptive_max_pool2d(x, 1))), _MAP),
    Net("pools", function(lambda x: F.avg_pool2d(
        F.max_pool2d(x, 3, 2, 1, ceil_mode=True), 2, 1, count_include_pad=False)), _MAP),
    Net("nearest_size", resized("nearest", (9, 17)), _MAP),
    Net("nearest_factor", resized("nearest", factor=2.0), _MAP),
    Net("nearest_exact", resized("nearest-exact", (9, 17)), _MAP),
    Net("bilinear_size", resized("bilinear", (9, 17), corners=False), _MAP),
    Net("bilinear_corners", resized("bilinear", (11, 19), corners=True), _MAP),
    Net("bilinear_factor", resized("bilinear", factor=1.5, corners=False), _MAP),
    Net("bilinear_half", resized("bilinear", factor=0.5, corners=False), _MAP),
    Net("bicubic", resized("bicubic", (9, 17), corners=False), _MAP),
    Net("bicubic_corners", resized("bicubic", (12, 20), corners=True), _MAP),
    Net("linear_1d", resized("linear", factor=2.0, corners=False), ((1, 4, 9),)),
    Net("activations", function(lambda x: torch.cat([
        F.hardswish(x), F.hardsigmoid(x), F.relu6(x), F.elu(x), F.selu(x), F.celu(x, 0.5),
        F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), F.mish(x), F.softplus(x),
        F.softsign(x), F.leaky_relu(x, 0.2), F.hardtanh(x, -0.5, 0.5), F.logsigmoid(x),
        F.softshrink(x, 0.3), F.hardshrink(x, 0.3), F.tanhshrink(x), F.threshold(x, 0.1, 0.0),
    ], 1)), _MAP),
    Net("glu", function(lambda x: F.glu(x, 1)), _MAP),
    Net("reductions", function(lambda x: torch.cat([
        x.mean((2, 3)), x.amax((2, 3)), x.amin((2, 3)), x.sum((2, 3)), x.norm(dim=(2, 3)),
        x.abs().sum((2, 3)), x.logsumexp((2, 3)), x.std((2, 3)), x.var((2, 3)),
    ], 1)), _MAP),
    Net("deviations", function(lambda x: torch.cat([
        x.std((2, 3)), x.std((2, 3), unbiased=False), x.std((2, 3), keepdim=True)[..., 0, 0],
        torch.std(x.flatten(2), 2, correction=2), x.flatten(2).var(-1).sqrt(),
        x.std(1).flatten(1), x.std().expand(2, 1), torch.std_mean(x, (2, 3))[0],
        ((x - x.mean(3, keepdim=True)) ** 2).mean(3).sqrt().flatten(1),
    ], 1)), _MAP),
    Net("normalize", function(lambda x: F.normalize(x, dim=1)), _MAP),
    Net("cosine", function(lambda x, y: F.cosine_similarity(x, y, dim=1)), _MAP * 2),
    Net("pads", function(lambda x: torch.cat([
        F.pad(x, (1, 2, 1, 0)), F.pad(x, (1, 2, 1, 0), "reflect"),
        F.pad(x, (1, 2, 1, 0), "replicate"), F.pad(x, (1, 2, 1, 0), value=0.5),
    ], 1)), _MAP),
    Net("circular_pad", function(lambda x: F.pad(x, (1, 2, 1, 0), "circular")), _MAP),
    Net("slices", function(lambda x: (x[:, ::2], x[..., 1:-1, 2:], x.flip(3), x[:, [3, 1, 2]],
                                      x.narrow(2, 1, 3), x.unbind(1)[2])), _MAP),
    Net("shapes", function(lambda x: (
        x.flatten(1), x.unsqueeze(1).squeeze(1) * 2, x.permute(0, 2, 3, 1).reshape(2, -1, 8),
        x.view(2, 4, 2, 6, 10).sum(2), x.repeat(1, 2, 1, 1), torch.stack([x, -x], 1).mean(1),
    )), _MAP),
    Net("cumsum_tril", function(lambda x: (x.cumsum(2), torch.tril(x), x.softmax(1).cumsum(1))),
        _MAP),
    Net("masked_fill", function(lambda x: x.masked_fill(
        torch.ones(6, 10).triu(1).bool(), -1e4).softmax(-1)), _MAP),
    Net("positions", function(lambda x: x + torch.sin(torch.arange(10.0) / 7) * torch.cos(x)),
        _MAP),
    Net("powers", function(lambda x: torch.cat([x.abs().sqrt(), x.square(), (x * x + 1).rsqrt(),
        x.abs().pow(1.5), (x * 0.1).exp(), (x.abs() + 1).log(), x.erf(), 1 / (x * x + 1)], 1)),
        _MAP),
    Net("minmax", function(lambda x, y: torch.minimum(torch.maximum(x, y * 0.5), x + y)),
        _MAP * 2),
    Net("matmuls", function(lambda x, y: (x @ y.transpose(2, 3), torch.bmm(x[0], x[1].mT),
                                          torch.matmul(x, torch.ones(10)))), _MAP * 2),
    Net("gem_pool", function(lambda x: F.avg_pool2d(x.clamp(min=1e-6).pow(3), (6, 10)).pow(1 / 3)),
        _MAP),
    Net("conv_variants", through(
        nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.Conv2d(8, 8, (1, 5), padding="same"),
        nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Dropout(), nn.PReLU()), _MAP),
    Net("embedding_table", lambda: Positions(), ((1, 9, 16),)),
    Net("spatial_attention", lambda: SpatialAttention(), _MAP),
    Net("coordinates", lambda: Coordinates(), _MAP),
)  # fmt: skip


class MultiHead(nn.Module):
    """nn.MultiheadAttention with the weights of its heads."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return self.attention(x, x, x)


class Positions(nn.Module):
    """Learnt positions out of an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table(torch.arange(x.shape[1]))


class SpatialAttention(nn.Module):
    """CBAM: attention from the mean and the maximum over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
        return x * torch.sigmoid(self.conv(pooled))


class Coordinates(nn.Module):
    """CoordConv: channels that tell where a pixel is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(10, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        rows = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(b, 1, h, w)
        columns = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(b, 1, h, w)
        return self.conv(torch.cat([x, rows, columns], 1))
