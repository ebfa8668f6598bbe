"""The whole method on one screen: six stages, and one loop over the models M(t) (figure 2).

    topics -> problems (1, 2, 3) -> test inputs (4) -> solutions (5) -> consolidation (6) -> M(t+1)
                                                           ^                                   |
                                                           +-----------------------------------+

Each step does what its tables do not hold yet, so running again is resuming. A model's engine is
opened by the first step that needs it, and not at all where every step finds its work done.
"""

from __future__ import annotations

from ucoder.components import Components
from ucoder.progress import Progress, Silent, Tee
from ucoder.requirements import check_requirements
from ucoder.runs import Run
from ucoder.steps import Steps


async def run_pipeline(
    run: Run, components: Components | None = None, progress: Progress | None = None
) -> None:
    """Carry a run to its end, from wherever it is; call it again to resume.

    Args:
        run: The run directory. It is locked while this runs.
        components: Makes the model, scheduler and trainer; those of the run's configuration where
            None.
        progress: Told what happens; nothing is told where None.

    Raises:
        NothingToDo: No problem was accepted, or none selected; what exists stays on record.
        RunLocked: Another process writes to the run.
        UcoderError: A part failed; the run can be resumed once the cause is gone.
    """
    progress = Tee(run.log, progress or Silent())
    components = components or Components(run.config, progress)
    step = Steps(run, components, progress)
    with step.recording():
        await check_requirements(components, run)
        model = step.first_model()
        for t in range(run.config.n_models):
            async with step.engine_of(model, t) as engine:
                if t == 0:
                    # Stages 1 to 3: the model invents problems, rates them, writes interfaces.
                    problems = await step.find_problems(engine)
                    # A problem that a benchmark asks as well goes no further.
                    step.compare_with_benchmarks(problems)
                    # Stage 4: it writes test inputs; problems with too few go no further.
                    solvable = await step.write_inputs(problems, engine)
                await step.evaluate(t, engine)
                if run.config.is_solved_by(t):
                    # Stage 5: candidates are sampled, executed, clustered, and one is selected.
                    await step.solve(t, solvable, engine)
                    # Once more with further problems, while these give too few training pairs.
                    while t == 0 and (more := await step.find_more_problems(problems, engine)):
                        n_before, problems = len(problems), more
                        step.compare_with_benchmarks(problems, n_before)
                        solvable = await step.write_inputs(problems, engine)
                        await step.solve(t, solvable, engine)
                    # Known answers alone, for measuring: which programs are right.
                    await step.judge(t, solvable)
            # Stage 6: what was selected becomes training pairs, and these M(t+1).
            if run.config.is_solved_by(t) and run.config.makes_pairs:
                examples = step.choose_examples(t, problems)
            if run.config.is_trained(t):
                model = await step.fine_tune(t, examples, model)
