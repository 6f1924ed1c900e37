"""The same encoder as an ONNX graph, so that an independent runtime can check and race ours."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic


def bert_session(
    tensors: Mapping[str, np.ndarray],
    *,
    layers: int,
    heads: int,
    threads: int = 0,
    spinning: bool = False,
    int8: bool = False,
    fused: bool = False,
) -> onnxruntime.InferenceSession:
    """A session with inputs `ids` and `mask`, both (batch, length) int64, and output `vectors`.

    Args:
        threads: 0: one a core.
        spinning: Let threads wait busily, which slows down whoever is measured next.
        int8: Quantise weights to int8, each output by its own scale, and activations as they come.
        fused: Let onnxruntime's own attention take the place of the products that make it up.
    """
    model = bert_model(tensors, layers=layers, heads=heads, fused=fused)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # it warns of constants that a fused graph does not use
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "bert.onnx"
        onnx.save(model, stored)
        if int8:
            quantised = Path(folder) / "int8.onnx"
            quantize_dynamic(
                stored,
                quantised,
                weight_type=QuantType.QInt8,
                per_channel=True,
                extra_options={"DefaultTensorType": TensorProto.FLOAT},  # not inferred behind Attention
            )
            stored = quantised
        return onnxruntime.InferenceSession(str(stored), options, providers=["CPUExecutionProvider"])


def bert_model(
    tensors: Mapping[str, np.ndarray], *, layers: int, heads: int, fused: bool = False
) -> onnx.ModelProto:
    """The graph of `bert_session`."""
    nodes, initializers = [], []

    def constant(name: str, value: np.ndarray) -> str:
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(kind: str, *inputs: str, out: str = "", **attributes: object) -> str:
        out = out or f"{kind}-{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def tensor(name: str) -> str:
        return constant(name, tensors[name])

    def linear(x: str, at: str) -> str:
        return op(
            "Add", op("MatMul", x, constant(f"{at}.weight", tensors[f"{at}.weight"].T)), tensor(f"{at}.bias")
        )

    def normalised(x: str, at: str) -> str:
        scale, shift = tensor(f"{at}.weight"), tensor(f"{at}.bias")
        return op("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-12)

    width = tensors["embeddings.word_embeddings.weight"].shape[1]
    split = constant("split", np.array([0, 0, heads, width // heads]))
    merge = constant("merge", np.array([0, 0, width]))
    root = constant("root", np.float32((width // heads) ** 0.5))
    one, zero = constant("one", np.array([1])), constant("zero", np.array([0]))

    def split_heads(x: str, order: list[int]) -> str:
        return op("Transpose", op("Reshape", x, split), perm=order)

    def attended(x: str, at: str) -> str:
        names = [f"{at}.{part}" for part in ("query", "key", "value")]
        if fused:
            weights = constant(f"{at}.weight", np.concatenate([tensors[f"{n}.weight"] for n in names]).T)
            biases = constant(f"{at}.bias", np.concatenate([tensors[f"{n}.bias"] for n in names]))
            return op("Attention", x, weights, biases, whole, num_heads=heads, domain="com.microsoft")
        query, key, value = (
            split_heads(linear(x, name), order)
            for name, order in zip(names, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = op("Add", op("Div", op("MatMul", query, key), root), penalty)
        mixed = op("MatMul", op("Softmax", scores, axis=-1), value)
        return op("Reshape", op("Transpose", mixed, perm=[0, 2, 1, 3]), merge)

    present = op("Cast", "mask", to=TensorProto.FLOAT)
    whole = op("Cast", "mask", to=TensorProto.INT32) if fused else ""
    absent = op("Sub", present, constant("one-f", np.float32(1)))
    penalty = op(
        "Unsqueeze", op("Mul", absent, constant("much", np.float32(1e9))), constant("axes", np.array([1, 2]))
    )
    length = op("Slice", op("Shape", "ids"), one, constant("two", np.array([2])), zero)
    places = op("Slice", tensor("embeddings.position_embeddings.weight"), zero, length, zero)
    kind = constant("type", tensors["embeddings.token_type_embeddings.weight"][0])
    words = op("Gather", tensor("embeddings.word_embeddings.weight"), "ids")
    x = normalised(op("Add", op("Add", words, places), kind), "embeddings.LayerNorm")
    for i in range(layers):
        at = f"encoder.layer.{i}"
        mixed = attended(x, f"{at}.attention.self")
        mixed = linear(mixed, f"{at}.attention.output.dense")
        x = normalised(op("Add", mixed, x), f"{at}.attention.output.LayerNorm")
        wide = op("Gelu", linear(x, f"{at}.intermediate.dense"))
        x = normalised(op("Add", linear(wide, f"{at}.output.dense"), x), f"{at}.output.LayerNorm")
    kept = op("Mul", x, op("Unsqueeze", present, constant("last", np.array([2]))))
    summed = op("ReduceSum", kept, one, keepdims=0)
    op("LpNormalization", summed, out="vectors", axis=-1, p=2)

    shape = ["batch", "length"]
    graph = helper.make_graph(
        nodes,
        "bert",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("ids", "mask")],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", width])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
