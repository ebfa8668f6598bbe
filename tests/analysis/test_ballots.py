from ucoder.analysis.ballots import distinguishing_inputs, take_ballot

from .synthetic import (
    COUNT_VOWELS,
    FLATTEN,
    MEDIAN,
    ROMAN,
    STORIES,
    add_candidates,
    build,
    problem_of,
)


def test_a_ballot_taken_again_gives_the_stored_selection(finished):
    stored = {s.problem_id: s for s in finished.selections(0).rows()}
    for story in STORIES:
        problem = problem_of(story)
        case = take_ballot(finished, 0, problem)
        assert case is not None
        # NaN differs from itself, so undecided problems compare by their text
        assert repr(case.ballot.selection) == repr(stored[problem.id])


def test_no_ballot_while_a_program_has_not_been_run(tmp_path):
    run = build(tmp_path / "run", "suites")
    problem = problem_of(ROMAN)
    assert take_ballot(run, 0, problem) is None
    add_candidates(run)
    assert take_ballot(run, 0, problem) is not None
    executions = run.executions(0).get(problem.id)
    run.executions(0).put(problem.id, executions[:1])
    assert take_ballot(run, 0, problem) is None


def test_no_ballot_from_executions_on_a_replaced_suite(tmp_path):
    run = build(tmp_path / "run", "candidates")
    problem = problem_of(ROMAN)
    other = run.suites.get(problem_of(COUNT_VOWELS).id)[0]
    run.suites.put(problem.id, [type(other)(problem.id, other.inputs[:4], (), None, 0)])
    assert take_ballot(run, 0, problem) is None


def test_the_first_input_shown_tells_the_most_clusters_apart(finished):
    case = take_ballot(finished, 0, problem_of(ROMAN))
    assert case is not None
    (first,) = distinguishing_inputs(case, case.ballot.clusters, 1)
    assert case.suite.inputs[first].arguments == "('IV',)"  # 6, 4 and 2; "XL" is as short, later


def test_only_inputs_that_tell_apart_are_shown(finished):
    case = take_ballot(finished, 0, problem_of(FLATTEN))
    assert case is not None
    shown = [
        case.suite.inputs[at].arguments
        for at in distinguishing_inputs(case, case.ballot.clusters, 9)
    ]
    assert shown == ["([[1, [2]], [3]],)", "(7,)"]


def test_a_single_cluster_shows_its_shortest_inputs(finished):
    case = take_ballot(finished, 0, problem_of(COUNT_VOWELS))
    assert case is not None
    shown = [
        case.suite.inputs[at].arguments
        for at in distinguishing_inputs(case, case.ballot.clusters, 2)
    ]
    assert shown == ["('',)", "('y',)"]


def test_no_more_inputs_than_asked_for(finished):
    case = take_ballot(finished, 0, problem_of(MEDIAN))
    assert case is not None
    assert len(distinguishing_inputs(case, case.ballot.clusters, 3)) == 3
