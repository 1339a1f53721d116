"""A recipe for tests, around what it runs."""

from shoestring.recipes.record import Recipe


def made_of(run) -> Recipe:
    return Recipe(
        name="small",
        line="a small one",
        scarce="bytes",
        instead="time",
        data=(),
        minutes=1,
        quick_minutes=0.1,
        page="none.md",
        run=run,
        extras=(),
    )
