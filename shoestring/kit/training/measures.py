"""What agreement means for each output of a model, and as what kind it is taught."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from shoestring.core import Boxes, Kind, NotTaught, Own
from shoestring.core.inferred import Told, is_boxes, may_be_logits, of_values
from shoestring.core.kinds import Kinds, by_path, shown
from shoestring.kit.training.same import Same, same_for

Measure = Same | Callable[[Any, Any], Any]
"""A Same, or a function `(before, after)` of numpy arrays N×… that returns N merits."""
ALL = "*"
"""In place of a path: a function that measures all outputs together."""


class Settled(NamedTuple):
    """What holds for each output, by path.

    `kinds`: the kind as which it is taught.
    `measures`: how its agreement is measured.
    `perhaps_logits`: the outputs that may be logits of classes, which nothing shows.
    """

    kinds: dict[str, Told]
    measures: dict[str, Measure]
    perhaps_logits: tuple[str, ...]


def settle(
    model: nn.Module,
    declared: Kinds,
    same: Measure | Mapping[str | int, Measure] | None,
    paths: Sequence[str],
    outputs: Mapping[str, Tensor],
    made: Mapping[str, Any],
) -> Settled:
    """Settle the kind and the measure of each output.

    `declared`, `same`: the `kinds` and the `same` of Agreement.
    `outputs`: those of some training inputs, by path.
    `made`: those of one call, with gradients.

    Raises ValueError for declarations that do not fit the outputs.
    """
    own = isinstance(declared, Own)
    by_key: Any = (
        {}
        if declared is None or own
        else dict.fromkeys(paths, declared)
        if isinstance(declared, Kind)
        else _by_index(declared, model)
    )
    given = by_path(by_key, list(paths), "kinds")
    measures = _declared_measures(model, same, paths, given)
    kinds, perhaps_logits = dict[str, Told](), list[str]()
    for path in paths:
        output = outputs[path]
        before, measure = output.numpy(), measures.get(path)
        by_measure = measure.kind(before) if isinstance(measure, Same) else None
        if path in given:
            kinds[path] = Told(given[path], "declared")
        elif by_measure is not None:
            kinds[path] = Told(by_measure, "by same=")
        elif output.is_floating_point():
            kinds[path] = _inferred(output, made.get(path), _name_of(path, model))
            unknown = kinds[path].by == "nothing tells" and not {path, ALL} & measures.keys()
            if unknown and may_be_logits(made.get(path)):
                perhaps_logits.append(path)
        if not isinstance(given.get(path), NotTaught) and ALL not in measures:
            measure = measure or same_for(kinds[path].kind if path in kinds else None, before)
            measures[path] = measure.fitted(before) if isinstance(measure, Same) else measure
    if not measures:
        raise ValueError(
            "no output is left to agree on: kinds says NotTaught() of "
            f"{', '.join(map(shown, given))}"
        )
    if isinstance(declared, Own):
        kinds = {"": Told(declared, "declared")}
    return Settled(kinds, measures, tuple(perhaps_logits))


def _inferred(output: Tensor, made: Any, name: str) -> Told:
    """The kind of an output that nobody declared."""
    if is_boxes(output, name):
        return Told(Boxes(), "by its name and values")
    return of_values(output, made, name)


def _declared_measures(
    model: nn.Module, same: Any, paths: Sequence[str], kinds: Mapping[str, Kind]
) -> dict[str, Any]:
    """The measures that the caller gives, by path, or by ALL for a function of all outputs."""
    if same is None:
        return {}
    if isinstance(same, Mapping):
        return by_path(_by_index(same, model), list(paths), "same")
    judged = [path for path in paths if not isinstance(kinds.get(path), NotTaught)]
    if len(judged) == 1:
        return {judged[0]: same}
    if not isinstance(same, Same):
        return {ALL: same}
    raise ValueError(
        f"same is {same}, and the model has {len(judged)} outputs, "
        f"{', '.join(map(shown, judged))}: say of which, same={{{shown(judged[0])!r}: {same!r}}}, "
        "and the others follow their kinds"
    )


def _by_index(declared: Mapping[str | int, Any], model: nn.Module) -> dict[str | int, Any]:
    """Declarations by the names that the module has for its outputs (`from_onnx`), by index."""
    names: list[str] = list(getattr(model, "outputs", ()))
    return {
        names.index(str(key)) if key in names else key: value for key, value in declared.items()
    }


def _name_of(path: str, model: nn.Module) -> str:
    """The name that the module has for an output, or else its path."""
    names: list[str] = list(getattr(model, "outputs", ()))
    index = int(path) if path.isdigit() else 0 if path == "" else len(names)
    return str(names[index]) if index < len(names) else path
