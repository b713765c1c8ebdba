"""The rules from float ops to quantised ops, one module per family."""


def load() -> None:
    """Import every module of rules, which registers them."""
    from cvi_tpu.quantized.rules import (  # noqa: F401
        activation,
        bf16_comparisons,
        bf16_elementary,
        bf16_eltwise,
        bf16_functions,
        bf16_lookup,
        bf16_norms,
        bf16_recurrent,
        conv,
        dense,
        detection,
        eltwise,
        instance_norm,
        lookup,
        matmul,
        movement,
        pool,
        regions,
        resize,
        softmax,
        square_power,
        transposed,
    )
