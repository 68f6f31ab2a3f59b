import json

from rope.curation.pipeline.costs import ShardCost, costs_log, read_costs, write_cost
from rope.curation.pipeline.runner import run_recipe
from tests.curation.pools import POISON, files_of, local, recipe_of


def test_a_run_notes_what_each_shard_has_cost(tmp_path):
    recipe = recipe_of(tmp_path, POISON)
    run_recipe(recipe, local(1), progress=False)
    shards = {path.stem for path in (recipe.work / "stages").glob("*/*.json")}
    costs = read_costs(recipe.work, shards)
    assert sorted((cost.stage, cost.rows) for cost in costs.values()) == [("poison", 8)] * 3 + [("pool", 8)] * 3
    assert all(cost.processor_seconds > 0 and cost.seconds > 0 for cost in costs.values())
    made = files_of(recipe)
    (recipe.work / "costs.jsonl").unlink()
    run_recipe(recipe, local(1), progress=False)
    assert files_of(recipe) == made


def test_the_last_line_of_a_shard_counts_and_a_torn_one_does_not(tmp_path):
    for seconds in (1.0, 2.0):
        with costs_log(tmp_path) as file:
            write_cost(file, ShardCost("a", "s", 4, seconds, 0.5))
    with costs_log(tmp_path) as file:
        write_cost(file, ShardCost("a", "gone", 4, 1.0, 0.5))
        file.write(json.dumps({"stage": "a"})[:5])
    assert read_costs(tmp_path, {"s"}) == {"s": ShardCost("a", "s", 4, 2.0, 0.5)}
    assert read_costs(tmp_path / "nowhere", {"s"}) == {}
