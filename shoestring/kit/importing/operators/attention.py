"""ONNX's attentions and rotary embeddings as torch functions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import TYPES, Attributes, Operator


def _heads(value: Tensor, count: int) -> Tensor:
    """A value (N, T, heads × width) as (N, heads, T, width); one with four axes as it is."""
    return value.reshape(*value.shape[:2], count, -1).transpose(1, 2) if value.ndim == 3 else value


def _bias(
    a: Attributes, query: Tensor, key: Tensor, mask: Any, before: Any, lengths: Any
) -> Tensor:
    """The bias of the scores: minus infinity where a query must not see a key.

    `before`: how many keys came before the queries.
    """
    minus_infinity = -math.inf
    queries, keys = query.shape[2], key.shape[2]
    bias = query.new_zeros(queries, keys)
    if mask is not None:
        if mask.shape[-1] < keys:
            mask = functional.pad(
                mask,
                (0, keys - mask.shape[-1]),
                value=False if mask.dtype == torch.bool else minus_infinity,
            )
        bias = bias + (
            torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, minus_infinity)
            if mask.dtype == torch.bool
            else mask
        )
    left, right = a("left_window_size", -1), a("right_window_size", -1)
    distance = (
        torch.arange(queries, device=query.device)[:, None]
        + before
        - torch.arange(keys, device=query.device)
    )
    hidden = torch.zeros((), dtype=torch.bool, device=query.device)
    hidden = hidden | (distance < 0) if a("is_causal", 0) else hidden
    hidden = hidden | (distance > left) if left >= 0 else hidden
    hidden = hidden | (-distance > right) if right >= 0 else hidden
    if lengths is not None:
        hidden = hidden | (torch.arange(keys, device=query.device) >= lengths.reshape(-1, 1, 1, 1))
    return torch.where(hidden, minus_infinity, bias)


def _attention(
    a: Attributes,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any = None,
    past_key: Any = None,
    past_value: Any = None,
    lengths: Any = None,
) -> Any:
    is_flat = query.ndim == 3
    query, key, value = (
        _heads(query, a("q_num_heads")),
        _heads(key, a("kv_num_heads")),
        _heads(value, a("kv_num_heads")),
    )
    keys_before: Any = 0
    if past_key is not None:
        keys_before = past_key.shape[2]
        key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
    elif lengths is not None:
        keys_before = (lengths.to(torch.int64) - query.shape[2]).reshape(-1, 1, 1, 1)
    bias = _bias(a, query, key, mask, keys_before, lengths)
    repeats = query.shape[1] // key.shape[1]
    all_keys, all_values = (
        part.repeat_interleave(repeats, 1) if repeats > 1 else part for part in (key, value)
    )
    scale = math.sqrt(a("scale") or 1 / math.sqrt(query.shape[-1]))
    raw = torch.matmul(query * scale, (all_keys * scale).transpose(2, 3))
    cap = a("softcap", 0.0)
    capped = torch.tanh(raw / cap) * cap if cap else raw
    scores = capped + bias
    precision = TYPES[a("softmax_precision")] if a("softmax_precision") else scores.dtype
    unseen = (scores == -math.inf).all(-1, keepdim=True)  # such queries give zeros, not NaN
    weights = (
        torch.softmax(scores.to(precision).masked_fill(unseen, 0.0), -1)
        .to(query.dtype)
        .masked_fill(unseen, 0.0)
    )
    answer = torch.matmul(weights, all_values)
    answer = answer.transpose(1, 2).flatten(2) if is_flat else answer
    if a.outputs == 1:
        return answer
    score_output = {0: raw, 1: capped, 2: scores, 3: weights}[a("qk_matmul_output_mode", 0)]
    return (answer, key, value, score_output)[: a.outputs]


def _rotated(
    a: Attributes, value: Tensor, cosines: Tensor, sines: Tensor, indices: Any = None
) -> Tensor:
    is_flat = value.ndim == 3
    heads = (
        value.reshape(*value.shape[:2], a("num_heads"), -1) if is_flat else value.transpose(1, 2)
    )
    width = a("rotary_embedding_dim", 0) or heads.shape[-1]
    rotated, rest = heads[..., :width], heads[..., width:]
    cos, sin = (part if indices is None else part[indices] for part in (cosines, sines))
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    is_interleaved = a("interleaved", 0)
    first, second = (
        (rotated[..., 0::2], rotated[..., 1::2]) if is_interleaved else rotated.chunk(2, -1)
    )
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    turned = (
        torch.stack([real, imaginary], -1).flatten(-2)
        if is_interleaved
        else torch.cat([real, imaginary], -1)
    )
    answer = torch.cat([turned, rest], -1)
    return answer.flatten(2) if is_flat else answer.transpose(1, 2)


def _linear(
    a: Attributes,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past: Any = None,
    decay: Any = None,
    beta: Any = None,
) -> Any:
    heads, key_heads = a("q_num_heads"), a("kv_num_heads")
    q, k, v = (
        _heads(part, head_count).float()
        for part, head_count in ((query, heads), (key, key_heads), (value, key_heads))
    )
    size = k.shape[0], key_heads, k.shape[-1], v.shape[-1]
    state = q.new_zeros(size) if past is None else past.float()
    rule, scale = a("update_rule", "gated_delta"), a("scale", 0.0) or 1 / math.sqrt(k.shape[-1])
    decays = torch.exp(_heads(decay, key_heads).float()) if "gated" in rule else None
    rates = beta.float().transpose(1, 2).unsqueeze(-1) if "delta" in rule else None
    outputs: list[Tensor] = []
    for time in range(q.shape[2]):
        new = v[:, :, time]
        if decays is not None:
            state = state * decays[:, :, time].unsqueeze(-1)
        if rates is not None:
            new = rates[:, :, time] * (new - torch.einsum("bhdm,bhd->bhm", state, k[:, :, time]))
        state = state + k[:, :, time].unsqueeze(-1) * new.unsqueeze(-2)
        repeated = state.repeat_interleave(heads // key_heads, 1) if heads > key_heads else state
        outputs.append(scale * torch.einsum("bhd,bhdm->bhm", q[:, :, time], repeated))
    answer = torch.stack(outputs, 1).flatten(2).to(query.dtype)
    last_state = state.to(query.dtype if past is None else past.dtype)
    return (answer, last_state) if a.outputs > 1 else answer


TABLE: dict[str, Operator] = {
    "Attention": Operator(_attention),
    "LinearAttention": Operator(_linear),
    "RotaryEmbedding": Operator(_rotated),
}
