"""docs/MODEL.md as an ONNX graph of standard operators: one run is one control step.

The graph is written as text, in the order and with the names of docs/MODEL.md. Synapses stay
packed, eight a byte; the graph unpacks them itself, which a runtime does once, when it loads. All
numbers between the observation's counts and the outputs are integers, hence exact.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from ..model import CONTINUOUS, EXCITATORY_INHIBITORY, OUTPUT_ONE, V_TH, NetworkSpec, Policy

OPSET = 18  # for BitwiseAnd
IR_VERSION = 8  # of onnx 1.13, as is the opset: onnxruntime reads it since 1.14
INT8, INT16, INT32, INT64 = (
    getattr(onnx.TensorProto, name) for name in ("INT8", "INT16", "INT32", "INT64")
)
FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8

#: what a viewer shows beside the inputs and outputs
PORTS = {
    "observation": "Physical units, every value finite.",
    "current": "Synaptic currents. At reset: 0.",
    "membrane": "Membrane potentials; 64 fires. At reset: 37 * i mod 64 for neuron i.",
    "spikes": "1 where a neuron fired in the last substep. At reset: 0.",
    "output": "Filtered outputs; 2048 is 1.0. At reset: 0.",
    "action": "For the task: in its units, or the index of the chosen action.",
    "next_current": "Feed it to `current` in the next step.",
    "next_membrane": "Feed it to `membrane` in the next step.",
    "next_spikes": "Feed it to `spikes` in the next step.",
    "next_output": "The raw outputs. Feed them to `output` in the next step.",
}


def build_model(policy: Policy, low=(), high=()) -> onnx.ModelProto:
    """The model of one control step. low, high: (n_act,) the bounds of continuous actions."""
    spec = policy.spec
    graph = onnx.parser.parse_graph(graph_text(spec))
    graph.doc_string = (
        f"One control step of ecedge policy {policy.hash}: {spec.n_obs} observations, "
        f"{spec.n_neurons} spiking neurons with one-bit synapses, {spec.n_act} outputs."
    )
    for port in (*graph.input, *graph.output):
        port.doc_string = PORTS[port.name]
    constants = synapse_constants(policy) | map_constants(policy) | network_constants(spec)
    if spec.actions == CONTINUOUS:
        constants |= action_constants(low, high)
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ecedge",
    )


def packed_synapses(model: onnx.ModelProto) -> np.ndarray:
    """`Policy.synapses` of a model that `build_model` made; ValueError if it has none."""
    for tensor in model.graph.initializer:
        if tensor.name == "synapses":
            return np.ascontiguousarray(numpy_helper.to_array(tensor)).view("<u4")
    raise ValueError("no synapses")


def synapse_constants(policy: Policy) -> dict[str, np.ndarray]:
    """The stacked rows, packed: (n_rows, N / 8) uint8, bit b of byte j is neuron 8 j + b."""
    spec = policy.spec
    if spec.form == EXCITATORY_INHIBITORY:
        scale, bias = np.where(np.arange(spec.n_neurons) < spec.n_exc, 1, -1), 0
    else:
        scale, bias = np.full(spec.n_neurons, 2), 1
    return {
        "synapses": policy.synapses.view(np.uint8),
        "bit": np.arange(8, dtype=np.uint8),
        "bit_axis": np.array([2], np.int64),
        "one_bit": np.uint8(1),
        "row": np.array([-1, spec.n_neurons], np.int64),
        "row_counts": np.array([2 * spec.n_obs, spec.n_neurons, spec.n_act], np.int64),
        "presynaptic_scale": scale.astype(np.int8)[:, None],
        "presynaptic_bias": np.int32(bias),
    }


def map_constants(policy: Policy) -> dict[str, np.ndarray]:
    spec, observation_map = policy.spec, policy.observation_map
    divisor = 1 << observation_map.shift
    return {
        "counts_per_unit": np.ldexp(np.float32(1), observation_map.exponent),
        "count_min": np.float32(-32768),
        "count_max": np.float32(32767),
        "offset": observation_map.offset,
        "multiplier": observation_map.multiplier,
        "map_half": divisor >> 1,
        "map_divisor": divisor,
        "drive_half": np.int32((1 << spec.input_shift) >> 1),
        "drive_divisor": np.int32(1 << spec.input_shift),
        "input_min": np.int32(-127),
        "input_max": np.int32(127),
    }


def network_constants(spec: NetworkSpec) -> dict[str, np.ndarray]:
    return {
        "substeps": np.int64(spec.substeps),
        "always": np.bool_(True),
        "current_divisor": np.int32(1 << spec.current_shift),
        "membrane_divisor": np.int32(1 << spec.membrane_shift),
        "output_divisor": np.int32(1 << spec.output_shift),
        "recurrent_weight": np.int32(1 << abs(spec.recurrent_gain)),
        "output_weight": np.int32(1 << spec.output_gain),
        "V_TH": np.int32(V_TH),
        "zero": np.int32(0),
        "int8_min": np.int32(-128),
        "int8_max": np.int32(127),
        "int16_min": np.int32(-32768),
        "int16_max": np.int32(32767),
    }


def action_constants(low, high) -> dict[str, np.ndarray]:
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return {
        "output_one": np.int32(OUTPUT_ONE),
        "minus_output_one": np.int32(-OUTPUT_ONE),
        "output_range": np.float32(2 * OUTPUT_ONE),
        "action_low": low,
        "action_range": high - low,
    }


def graph_text(spec: NetworkSpec) -> str:
    n, n_act = spec.n_neurons, spec.n_act
    action = f"float[batch, {n_act}]" if spec.actions == CONTINUOUS else "int64[batch]"
    return f"""
control_step (
    float[batch, {spec.n_obs}] observation,
    int8[batch, {n}] current, int8[batch, {n}] membrane, uint8[batch, {n}] spikes,
    int16[batch, {n_act}] output
) => (
    {action} action,
    int8[batch, {n}] next_current, int8[batch, {n}] next_membrane, uint8[batch, {n}] next_spikes,
    int16[batch, {n_act}] next_output
) {{
    # synapses -> W_in, W_rec, W_out, the latter two with the sign of the presynaptic neuron
    bytes = Unsqueeze (synapses, bit_axis)
    shifted = BitShift <direction = "RIGHT"> (bytes, bit)
    bits = BitwiseAnd (shifted, one_bit)
    rows = Reshape (bits, row)
    rows_int8 = Cast <to = {INT8}> (rows)
    W_in, W_rec, W_out = Split <axis = 0> (rows_int8, row_counts)
    W_out_columns = Transpose (W_out)
    scale = Cast <to = {INT32}> (presynaptic_scale)
    {signed("W_rec_signed", "W_rec")}
    {signed("W_out_signed", "W_out_columns")}

    # observation -> count -> q -> drive x
    scaled = Mul (observation, counts_per_unit)
    rounded = Round (scaled)
    count = Clip (rounded, count_min, count_max)
    raw = Cast <to = {INT32}> (count)
    distance = Sub (raw, offset)
    product = Mul (distance, multiplier)
    product_up = Add (product, map_half)
    {floor_divide("q_wide", "product_up", "map_divisor")}
    q = Clip (q_wide, input_min, input_max)
    minus_q = Neg (q)
    q_both = Concat <axis = 1> (q, minus_q)
    q_int8 = Cast <to = {INT8}> (q_both)
    total = MatMulInteger (q_int8, W_in)
    total_up = Add (total, drive_half)
    {floor_divide("x_wide", "total_up", "drive_divisor")}
    x = Clip (x_wide, input_min, input_max)

    c_before = Cast <to = {INT32}> (current)
    v_before = Cast <to = {INT32}> (membrane)
    o_before = Cast <to = {INT32}> (output)
    c_after, v_after, next_spikes, o_after = Loop <body = {substep_text(spec)}> (
        substeps, always, c_before, v_before, spikes, o_before
    )
    next_current = Cast <to = {INT8}> (c_after)
    next_membrane = Cast <to = {INT8}> (v_after)
    next_output = Cast <to = {INT16}> (o_after)
    {action_text(spec)}
}}"""


def substep_text(spec: NetworkSpec) -> str:
    """The six lines of docs/MODEL.md's substep."""
    n, n_act = spec.n_neurons, spec.n_act
    if spec.recurrent_gain >= 0:
        gain = "G_wide = Mul (S_int8, recurrent_weight)"
    else:
        gain = floor_divide("G_wide", "S_int8", "recurrent_weight")
    return f"""substep (
    int64 step, bool going,
    int32[batch, {n}] c, int32[batch, {n}] v, uint8[batch, {n}] s, int32[batch, {n_act}] o
) => (
    bool still_going,
    int32[batch, {n}] c_next, int32[batch, {n}] v_next, uint8[batch, {n}] s_next,
    int32[batch, {n_act}] o_next
) {{
    still_going = Identity (going)

    S = MatMulInteger (s, W_rec_signed)
    S_int8 = Clip (S, int8_min, int8_max)
    {gain}
    G = Clip (G_wide, int8_min, int8_max)

    {floor_divide("c_lost", "c", "current_divisor")}
    c_left = Sub (c, c_lost)
    c_wide = Add (c_left, G)
    c_next = Clip (c_wide, int8_min, int8_max)

    push_wide = Add (c_next, x)
    push = Clip (push_wide, int8_min, int8_max)
    {floor_divide("v_lost", "v", "membrane_divisor")}
    v_left = Sub (v, v_lost)
    v_wide = Add (v_left, push)
    v_int8 = Clip (v_wide, int8_min, int8_max)

    fired = GreaterOrEqual (v_int8, V_TH)
    s_next = Cast <to = {UINT8}> (fired)
    v_next = Where (fired, zero, v_int8)

    C = MatMulInteger (s_next, W_out_signed)
    C_weighed = Mul (C, output_weight)
    {floor_divide("o_lost", "o", "output_divisor")}
    o_left = Sub (o, o_lost)
    o_wide = Add (o_left, C_weighed)
    o_next = Clip (o_wide, int16_min, int16_max)
}}"""


def action_text(spec: NetworkSpec) -> str:
    if spec.actions != CONTINUOUS:
        return "action = ArgMax <axis = 1, keepdims = 0> (o_after)  # the lowest index on a tie"
    return f"""
    o_limited = Clip (o_after, minus_output_one, output_one)
    o_positive = Add (o_limited, output_one)
    o_float = Cast <to = {FLOAT}> (o_positive)
    fraction = Div (o_float, output_range)
    above_low = Mul (fraction, action_range)
    action = Add (above_low, action_low)"""


def signed(result: str, matrix: str) -> str:
    """Bits with presynaptic rows -> int8: times the row's sign (form 0), or 2 w - 1 (form 1)."""
    return f"""
    {result}_wide = Cast <to = {INT32}> ({matrix})
    {result}_scaled = Mul ({result}_wide, scale)
    {result}_biased = Sub ({result}_scaled, presynaptic_bias)
    {result} = Cast <to = {INT8}> ({result}_biased)"""


def floor_divide(result: str, x: str, divisor: str) -> str:
    """floor(x / divisor), also for negative x, where ONNX's own Div rounds towards zero."""
    return f"""
    {result}_rest = Mod ({x}, {divisor})
    {result}_exact = Sub ({x}, {result}_rest)
    {result} = Div ({result}_exact, {divisor})"""
