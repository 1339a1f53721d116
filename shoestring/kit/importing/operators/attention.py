"""ONNX's attentions and rotary embeddings as torch's."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import TYPES, Attributes, Operator


def _heads(value: Tensor, count: int) -> Tensor:
    """(N, T, heads × width) as (N, heads, T, width)."""
    return value.reshape(*value.shape[:2], count, -1).transpose(1, 2) if value.ndim == 3 else value


def _bias(
    a: Attributes, query: Tensor, key: Tensor, mask: Any, before: Any, lengths: Any
) -> Tensor:
    """What is added to the scores: minus infinity where a key is not to be seen.

    `before`: how many keys came before the queries.
    """
    never = -math.inf
    times, seen = query.shape[2], key.shape[2]
    bias = query.new_zeros(times, seen)
    if mask is not None:
        if mask.shape[-1] < seen:
            mask = functional.pad(
                mask, (0, seen - mask.shape[-1]), value=False if mask.dtype == torch.bool else never
            )
        bias = bias + (
            torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, never)
            if mask.dtype == torch.bool
            else mask
        )
    left, right = a("left_window_size", -1), a("right_window_size", -1)
    apart = (
        torch.arange(times, device=query.device)[:, None]
        + before
        - torch.arange(seen, device=query.device)
    )
    hidden = torch.zeros((), dtype=torch.bool, device=query.device)
    hidden = hidden | (apart < 0) if a("is_causal", 0) else hidden
    hidden = hidden | (apart > left) if left >= 0 else hidden
    hidden = hidden | (-apart > right) if right >= 0 else hidden
    if lengths is not None:
        hidden = hidden | (torch.arange(seen, device=query.device) >= lengths.reshape(-1, 1, 1, 1))
    return torch.where(hidden, never, bias)


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
    flat = query.ndim == 3
    query, key, value = (
        _heads(query, a("q_num_heads")),
        _heads(key, a("kv_num_heads")),
        _heads(value, a("kv_num_heads")),
    )
    before: Any = 0
    if past_key is not None:
        before = past_key.shape[2]
        key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
    elif lengths is not None:
        before = (lengths.to(torch.int64) - query.shape[2]).reshape(-1, 1, 1, 1)
    bias = _bias(a, query, key, mask, before, lengths)
    each = query.shape[1] // key.shape[1]
    own, kept = (one.repeat_interleave(each, 1) if each > 1 else one for one in (key, value))
    scale = math.sqrt(a("scale") or 1 / math.sqrt(query.shape[-1]))
    raw = torch.matmul(query * scale, (own * scale).transpose(2, 3))
    cap = a("softcap", 0.0)
    capped = torch.tanh(raw / cap) * cap if cap else raw
    scores = capped + bias
    precise = TYPES[a("softmax_precision")] if a("softmax_precision") else scores.dtype
    unseen = (scores == -math.inf).all(-1, keepdim=True)  # gives zeros, and not what is no number
    shares = (
        torch.softmax(scores.to(precise).masked_fill(unseen, 0.0), -1)
        .to(query.dtype)
        .masked_fill(unseen, 0.0)
    )
    answer = torch.matmul(shares, kept)
    answer = answer.transpose(1, 2).flatten(2) if flat else answer
    if a.outputs == 1:
        return answer
    inner = {0: raw, 1: capped, 2: scores, 3: shares}[a("qk_matmul_output_mode", 0)]
    return (answer, key, value, inner)[: a.outputs]


def _rotated(
    a: Attributes, value: Tensor, cosines: Tensor, sines: Tensor, places: Any = None
) -> Tensor:
    flat = value.ndim == 3
    heads = value.reshape(*value.shape[:2], a("num_heads"), -1) if flat else value.transpose(1, 2)
    turned = a("rotary_embedding_dim", 0) or heads.shape[-1]
    rotated, rest = heads[..., :turned], heads[..., turned:]
    cos, sin = (one if places is None else one[places] for one in (cosines, sines))
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    apart = a("interleaved", 0)
    one, other = (rotated[..., 0::2], rotated[..., 1::2]) if apart else rotated.chunk(2, -1)
    real, imaginary = cos * one - sin * other, sin * one + cos * other
    whole = (
        torch.stack([real, imaginary], -1).flatten(-2)
        if apart
        else torch.cat([real, imaginary], -1)
    )
    answer = torch.cat([whole, rest], -1)
    return answer.flatten(2) if flat else answer.transpose(1, 2)


def _linear(
    a: Attributes,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past: Any = None,
    decay: Any = None,
    beta: Any = None,
) -> Any:
    heads, own = a("q_num_heads"), a("kv_num_heads")
    q, k, v = (
        _heads(one, count).float() for one, count in ((query, heads), (key, own), (value, own))
    )
    size = k.shape[0], own, k.shape[-1], v.shape[-1]
    state = q.new_zeros(size) if past is None else past.float()
    rule, scale = a("update_rule", "gated_delta"), a("scale", 0.0) or 1 / math.sqrt(k.shape[-1])
    fades = torch.exp(_heads(decay, own).float()) if "gated" in rule else None
    rates = beta.float().transpose(1, 2).unsqueeze(-1) if "delta" in rule else None
    found: list[Tensor] = []
    for time in range(q.shape[2]):
        new = v[:, :, time]
        if fades is not None:
            state = state * fades[:, :, time].unsqueeze(-1)
        if rates is not None:
            new = rates[:, :, time] * (new - torch.einsum("bhdm,bhd->bhm", state, k[:, :, time]))
        state = state + k[:, :, time].unsqueeze(-1) * new.unsqueeze(-2)
        read = state.repeat_interleave(heads // own, 1) if heads > own else state
        found.append(scale * torch.einsum("bhd,bhdm->bhm", q[:, :, time], read))
    answer = torch.stack(found, 1).flatten(2).to(query.dtype)
    kept = state.to(query.dtype if past is None else past.dtype)
    return (answer, kept) if a.outputs > 1 else answer


TABLE: dict[str, Operator] = {
    "Attention": Operator(_attention),
    "LinearAttention": Operator(_linear),
    "RotaryEmbedding": Operator(_rotated),
}
