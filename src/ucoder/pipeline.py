"""The whole method on one screen: six stages, and the loop over stages 5 and 6 (figure 2).

    topics -> problems (1, 2, 3) -> test inputs (4) -> solutions (5) -> consolidation (6) -> M(t+1)
                                                           ^                                   |
                                                           +-----------------------------------+

Each step does what its tables do not hold yet, so running again is resuming.
"""

from __future__ import annotations

from dataclasses import asdict

from ucoder import steps
from ucoder.components import Components
from ucoder.errors import NothingToDo
from ucoder.progress import Progress, Silent
from ucoder.runs import Run


async def run_pipeline(run: Run, components: Components, progress: Progress | None = None) -> None:
    """Carry a run to its end, from wherever it is.

    Args:
        run: The run directory; this process must hold `run.writing()`.
        components: Makes the model, scheduler and trainer that the configuration names.
        progress: Told what happens.

    Raises:
        NothingToDo: No problem was accepted, or none selected; what there is stays on record.
    """
    config = run.config
    step = steps.Steps(run, components, progress or Silent())
    if config.consolidation.iterations and config.consolidation.provider != "none":
        components.trainer()  # what it lacks is better said now than after the sampling
    model = components.model(config.model)
    async with components.scheduler(model) as scheduler:
        run.save_manifest(
            model={**asdict(model), "path": str(model.path)},
            engine=asdict(scheduler.info),
            executor=scheduler.executor,
        )
        problems = await step.find_problems(scheduler)
        if not problems:
            raise NothingToDo(
                f"no problem was accepted in {config.problems.max_attempts} attempts; "
                f"`ucoder status {run.path}` counts the reasons"
            )
        usable = await step.write_inputs(problems, scheduler)
        step.compare_with_benchmarks(problems)
        await step.evaluate(0, scheduler)
        if config.consolidation.iterations:
            await step.solve(0, usable, scheduler)
    for t in range(config.consolidation.iterations):
        examples = step.choose_examples(t, problems)
        if config.consolidation.provider == "none":
            break  # the examples are what was wanted
        model = await step.consolidate(t, examples, model)
        async with components.scheduler(model, exports=run.path / "checkpoints") as scheduler:
            await step.evaluate(t + 1, scheduler)
            if t + 1 < config.consolidation.iterations:
                await step.solve(t + 1, usable, scheduler)
