"""The wire codec against protobuf's own: every field of every message, and damaged bytes."""

import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import onnx_data_pb2, onnx_ml_pb2

from sardonyx.core.errors import InvalidProtobuf, LimitExceeded
from sardonyx.core.limits import Limits
from sardonyx.formats import wire
from sardonyx.formats.encode import encode
from sardonyx.formats.message import UNKNOWN, Message
from sardonyx.formats.onnx_tables import MESSAGES
from sardonyx.formats.packed import Packed, decode_varints, encode_varint
from sardonyx.formats.wire import decode

ROOT = Path(__file__).parents[2]
DATA = Path(onnx.__file__).parent / "backend/test/data"


def proto_class(kind: str) -> Any:
    """protobuf's class for a message of the tables."""
    first, *rest = kind.split(".")
    found = getattr(onnx_ml_pb2, first, None) or getattr(onnx_data_pb2, first)
    for name in rest:
        found = getattr(found, name)
    return found


def scalar(kind: str, rng: random.Random) -> Any:
    """A value that a field of that kind can hold, extremes included."""
    big = rng.choice([0, 1, 127, 128, 300, (1 << 31) - 1])
    choices: dict[str, Callable[[], Any]] = {
        "string": lambda: rng.choice(["", "x", "naïve ∂", "a" * 200]),
        "bytes": lambda: rng.choice([b"", b"\x00\xff", bytes(range(256))]),
        "float": lambda: rng.choice([0.0, -0.0, 1.5, float("inf"), -3.25e30]),
        "double": lambda: rng.choice([0.0, -0.0, 1e300, float("-inf"), 0.1]),
        "int64": lambda: rng.choice([0, -1, big, (1 << 63) - 1, -(1 << 63)]),
        "uint64": lambda: rng.choice([0, big, (1 << 64) - 1]),
        "int32": lambda: rng.choice([0, -1, big, -(1 << 31)]),
        "enum": lambda: rng.choice([0, 1]),
    }
    return choices[kind]()


def fill(message: Any, kind: str, rng: random.Random, depth: int) -> None:
    """Sets random fields of a protobuf message, to every depth up to `depth`."""
    for row in rng.sample(MESSAGES[kind], len(MESSAGES[kind])):
        if rng.random() < (0.3 if depth else 0.6):
            continue
        count = rng.randrange(1, 4) if row.repeated else 1
        for _ in range(count):
            if row.kind == "message":
                if depth > 0:
                    slot = getattr(message, row.name)
                    inner = slot.add() if row.repeated else slot
                    inner.SetInParent()
                    fill(inner, row.target, rng, depth - 1)
            elif row.repeated:
                getattr(message, row.name).append(scalar(row.kind, rng))
            else:
                setattr(message, row.name, scalar(row.kind, rng))


def test_tables_are_current() -> None:
    tool = ROOT / "tools/generate_onnx_tables.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], check=False)
    assert done.returncode == 0, "run tools/generate_onnx_tables.py"


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_field_round_trips_to_the_same_bytes(kind: str) -> None:
    rng = random.Random(kind)
    seen: set[str] = set()
    for _ in range(40):
        message = proto_class(kind)()
        fill(message, kind, rng, 3)
        data = message.SerializeToString(deterministic=True)
        decoded = decode(kind, data)
        assert encode(decoded) == data
        seen |= set(decoded.fields)
    assert seen == {row.name for row in MESSAGES[kind]}


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_field_holds_the_value_that_protobuf_reads(kind: str) -> None:
    rng = random.Random(kind)
    message = proto_class(kind)()
    fill(message, kind, rng, 1)
    decoded = decode(kind, message.SerializeToString())
    for row in MESSAGES[kind]:
        if row.kind == "message" or not decoded.has(row.name):
            continue
        ours, theirs = decoded.fields[row.name], getattr(message, row.name)
        if isinstance(ours, Packed):
            ours = ours.numpy().tolist()
        assert ours == (list(theirs) if row.repeated else theirs), row.name


def test_an_unset_field_stays_unset_and_a_default_stays_set() -> None:
    assert encode(decode("NodeProto", b"")) == b""
    message = onnx_ml_pb2.NodeProto(name="")
    assert encode(decode("NodeProto", message.SerializeToString())) == b"\x1a\x00"


def test_unknown_fields_survive_in_the_message_where_they_stood() -> None:
    inner = encode_varint(1000 << 3 | 2) + b"\x03abc"
    group = b"\xbb\x06" + b"\x08\x01" + b"\xbc\x06"
    node = b"\x22\x03Abs" + inner + group
    graph = b"\x0a" + encode_varint(len(node)) + node
    data = b"\x3a" + encode_varint(len(graph)) + graph
    decoded = decode("ModelProto", data)
    body = decoded.child("graph")
    assert body is not None
    assert body.children("node")[0].fields[UNKNOWN] == [inner, group]
    assert encode(decoded) == data


def test_text_that_is_not_utf8_survives() -> None:
    data = b"\x1a\x02\xff\xfe"
    assert encode(decode("NodeProto", data)) == data


def test_a_signalling_nan_keeps_its_bits() -> None:
    bits = struct.pack("<I", 0x7F800001)
    data = b"\x15" + bits + b"\x3d" + bits
    assert encode(decode("AttributeProto", data)) == data


def test_repeated_numbers_are_read_packed_and_unpacked() -> None:
    packed = b"\x42\x03\x01\x96\x01"
    assert decode("AttributeProto", packed).numbers("ints") == [1, 150]
    unpacked = b"\x25" + struct.pack("<f", 2.5) + b"\x22\x04" + struct.pack("<f", 3.5)
    run = decode("TensorProto", unpacked).fields["float_data"]
    assert run.numpy().tolist() == [2.5, 3.5]


def test_a_run_of_numbers_stops_at_the_end_of_its_message() -> None:
    inner = b"\x08\x01\x10\x02"
    data = b"\x1a" + bytes([len(inner)]) + inner + b"\x10\x07"
    decoded = decode("ShardingSpecProto", data)
    assert decoded.numbers("device") == [7]
    assert decoded.children("index_to_device_group_map")[0].numbers("value") == [2]


def test_a_repeated_singular_message_is_merged_as_protobuf_does() -> None:
    shape = onnx_ml_pb2.TypeProto()
    shape.tensor_type.elem_type = 1
    other = onnx_ml_pb2.TypeProto()
    other.tensor_type.shape.dim.add().dim_value = 3
    data = shape.SerializeToString() + other.SerializeToString()
    assert encode(decode("TypeProto", data)) == proto_class("TypeProto").FromString(
        data
    ).SerializeToString(deterministic=True)


def test_the_last_member_of_a_oneof_wins() -> None:
    data = b"\x08\x05\x12\x01N"
    assert set(decode("TensorShapeProto.Dimension", data).fields) == {"dim_param"}


@pytest.mark.parametrize("path", sorted(DATA.rglob("*.onnx")), ids=lambda p: p.parent.name)
def test_a_canonical_file_round_trips_to_the_same_bytes(path: Path) -> None:
    data = path.read_bytes()
    assert encode(decode("ModelProto", data)) == data


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` cut, flipped, grown or spliced at a random place."""
    out = bytearray(data)
    at = rng.randrange(len(out))
    match rng.randrange(5):
        case 0:
            del out[at:]
        case 1:
            out[at] ^= 1 << rng.randrange(8)
        case 2:
            out[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 12)))
        case 3:
            del out[at : at + rng.randrange(1, 20)]
        case _:
            out[at] = rng.choice([0x00, 0x7F, 0x80, 0xFF])
    return bytes(out)


def test_damaged_bytes_are_read_as_protobuf_reads_them_or_refused() -> None:
    rng = random.Random(7)
    whole = (DATA / "simple/test_gradient_of_add_and_mul/model.onnx").read_bytes()
    refused = agreed = 0
    for _ in range(3000):
        data = mutate(whole, rng)
        try:
            ours = encode(decode("ModelProto", data))
        except (InvalidProtobuf, LimitExceeded):
            refused += 1
            continue
        theirs = onnx_ml_pb2.ModelProto.FromString(data)
        again = onnx_ml_pb2.ModelProto.FromString(ours)
        assert again.SerializeToString(deterministic=True) == theirs.SerializeToString(
            deterministic=True
        )
        agreed += 1
    assert refused > 300
    assert agreed > 300


def test_every_cut_of_a_model_is_refused_or_a_whole_number_of_fields() -> None:
    whole = (DATA / "simple/test_sign_model/model.onnx").read_bytes()
    for size in range(len(whole)):
        try:
            decode("ModelProto", whole[:size])
        except InvalidProtobuf:
            continue
        onnx_ml_pb2.ModelProto.FromString(whole[:size])


def nested(levels: int) -> bytes:
    """A TypeProto with sequences of sequences, two messages to a level."""
    data = b""
    for _ in range(levels):
        data = b"\x0a" + encode_varint(len(data)) + data
        data = b"\x22" + encode_varint(len(data)) + data
    return data


def test_rec_pb_nesting_is_bounded_and_costs_no_recursion() -> None:
    decode("TypeProto", nested(50))
    with pytest.raises(LimitExceeded) as caught:
        decode("TypeProto", nested(51))
    assert caught.value.code == "E0502"
    deep = decode("TypeProto", nested(3000), Limits(depth=10_000))
    assert encode(deep) == nested(3000)


def test_rec_pb_groups_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        decode("NodeProto", b"\xbb\x06" * 200 + b"\xbc\x06" * 200)
    with pytest.raises(InvalidProtobuf):
        decode("NodeProto", b"\xbb\x06" * 3)
    with pytest.raises(InvalidProtobuf):
        decode("NodeProto", b"\xbc\x06")


def test_a_bomb_of_empty_messages_hits_the_limit() -> None:
    data = b"\x0a\x00" * 300_000
    with pytest.raises(LimitExceeded) as caught:
        decode("GraphProto", data, Limits(fields=1_000_000))
    assert caught.value.code == "E0503"
    assert len(decode("GraphProto", data[:2000]).children("node")) == 1000


def test_time_is_linear_in_the_file() -> None:
    def seconds(count: int) -> float:
        data = b"\x0a\x08\x0a\x01a\x12\x01b\x22\x00" * count
        times = []
        for _ in range(5):
            begun = time.thread_time()
            decode("GraphProto", data)
            times.append(time.thread_time() - begun)
        return min(times)

    assert seconds(20_000) < 30 * seconds(2_000)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\x05ab",
        b"\x00",
        b"\x0e",
        b"\x8a\x00\x00",
        b"\x80",
    ],
)
def test_broken_lengths_and_tags_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidProtobuf) as caught:
        decode("NodeProto", data)
    assert caught.value.code == "E0102"


def test_varints_are_decoded_as_one_by_one() -> None:
    rng = random.Random(3)
    values = [rng.getrandbits(rng.randrange(1, 65)) for _ in range(5000)]
    data = b"".join(map(encode_varint, values))
    assert decode_varints(memoryview(data)).tolist() == values
    with pytest.raises(InvalidProtobuf):
        decode_varints(memoryview(b"\xff" * 10 + b"\x01"))


def test_packed_negative_numbers_keep_their_sign() -> None:
    message = onnx_ml_pb2.TensorProto(int32_data=[-1, 5, -(1 << 31)], int64_data=[-(1 << 63)])
    decoded = decode("TensorProto", message.SerializeToString())
    assert decoded.fields["int32_data"].numpy().tolist() == [-1, 5, -(1 << 31)]
    assert decoded.fields["int64_data"].numpy().tolist() == [-(1 << 63)]
    assert len(decoded.fields["int32_data"]) == 3


def test_weights_stay_views_of_the_source() -> None:
    raw = np.arange(1000, dtype=np.float32).tobytes()
    data = onnx_ml_pb2.TensorProto(raw_data=raw).SerializeToString()
    view = decode("TensorProto", data).fields["raw_data"]
    assert isinstance(view, memoryview)
    assert view.obj is data


def test_a_message_built_by_hand_is_read_by_protobuf() -> None:
    node = Message("NodeProto", {"input": ["a", ""], "output": ["b"], "op_type": "Abs"})
    read = onnx_ml_pb2.NodeProto.FromString(encode(node))
    assert list(read.input) == ["a", ""]
    assert read.op_type == "Abs"


LISTS = st.lists(
    st.tuples(
        st.sampled_from([1, 1 << 6, 1 << 7, 1 << 13, 1 << 14, 1 << 31, 1 << 62, 1 << 63]),
        st.integers(1, 300),
    ),
    min_size=1,
    max_size=6,
)


@given(LISTS, st.booleans(), st.randoms(use_true_random=False))
def test_long_lists_of_numbers_read_as_protobuf_reads_them(
    runs: list[tuple[int, int]], negative: bool, random: Any
) -> None:
    ints = [random.randrange(-most * negative, most) for most, count in runs for _ in range(count)]
    floats = [random.choice([0.5, -3.25, float("inf"), 1e-30]) for _ in ints]
    texts = [random.choice([b"a", b"", b"x" * 200]) for _ in ints]
    if negative:
        floats[len(floats) // 2] = float("nan")
    plain = onnx.AttributeProto(name="n", ints=ints, floats=floats, strings=texts)
    found = decode("AttributeProto", plain.SerializeToString())
    assert found.fields["ints"] == ints
    assert repr(list(map(float, found.fields["floats"]))) == repr(list(plain.floats))
    assert found.fields["strings"] == texts
    assert encode(found) == plain.SerializeToString()


def _one_by_one(data: bytes) -> Any:
    """What is read where no two elements are looked at together."""
    held, wire._RUN = wire._RUN, 1 << 40
    try:
        return _read(data)
    finally:
        wire._RUN = held


def _read(data: bytes) -> Any:
    try:
        return repr(decode("AttributeProto", data).fields)
    except InvalidProtobuf as error:
        return error.code


ITEMS = (
    b"\x40\x05",
    b"\x40\x85\x7f",
    b"\x3d\0\0\xc0\x7f",
    b"\x3d\0\0\0\x40",
    b"\x4a\x01a",
    b"\x40" + b"\xff" * 9 + b"\x01",
)


@given(st.binary(max_size=600), st.integers(0, 700), st.sampled_from(ITEMS))
def test_a_list_that_ends_in_anything_is_read_as_one_by_one(
    tail: bytes, count: int, item: bytes
) -> None:
    data = item * count + tail
    assert _read(data) == _one_by_one(data)
