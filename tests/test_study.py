import pytest

from archscale.registry import UserError
from archscale.study import Study, expand, expand_multirun, load_study, study_names

FAST = ("scale.tokens=65536", "scale.tokens_per_param=null")


def overrides_of(study: Study) -> list[tuple[str, ...]]:
    return [cell.overrides for cell in expand(study)]


def test_cells_are_the_product_times_the_zip_in_order():
    study = Study(
        name="s",
        overrides=FAST,
        product={"arch": ["transformer_pp", "sambay"], "seed": [0, 1]},
        zip={"scale.width": [16, 24], "scale.num_heads": [2, 3]},
    )
    assert overrides_of(study) == [
        (f"arch={arch}", f"seed={seed}", f"scale.width={width}", f"scale.num_heads={heads}")
        for arch in ("transformer_pp", "sambay")
        for seed in (0, 1)
        for width, heads in ((16, 2), (24, 3))
    ]


def test_extending_a_list_adds_only_the_new_cells():
    before = {cell.run_id for cell in expand(Study(name="s", overrides=FAST, product={"seed": [0, 1]}))}
    after = {cell.run_id for cell in expand(Study(name="s", overrides=FAST, product={"seed": [0, 1, 2]}))}
    assert before < after
    assert len(after) == 3


def test_cells_that_come_out_the_same_are_one_run():
    study = Study(name="s", overrides=FAST, product={"scale.width": [None, 16]})
    assert len(expand(study)) == 1


def test_the_study_s_name_is_not_part_of_a_run():
    first, second = (expand(Study(name=name, overrides=FAST))[0].run_id for name in ("a", "b"))
    assert first == second


def test_an_override_of_the_command_line_replaces_a_swept_key():
    study = Study(name="s", overrides=FAST, product={"seed": [0, 1], "scale.width": [16, 24]})
    cells = expand(study, ["seed=7"])
    assert [cell.spec.seed for cell in cells] == [7, 7]


def test_a_multirun_gives_the_same_runs_as_a_study():
    study = Study(name="s", overrides=FAST, product={"arch": ["transformer_pp", "sambay"], "scale.depth": [8, 12]})
    multirun = expand_multirun(["arch=transformer_pp,sambay", "scale.depth=8,12", *FAST])
    assert [cell.run_id for cell in multirun] == [cell.run_id for cell in expand(study)]


def test_a_multirun_understands_ranges_and_choices():
    cells = expand_multirun(["seed=range(0,3)", "scale.width=choice(16,24)", *FAST])
    assert [(cell.spec.seed, cell.spec.scale.width) for cell in cells] == [
        (seed, width) for seed in range(3) for width in (16, 24)
    ]


@pytest.mark.parametrize("name", study_names())
def test_every_packaged_study_expands(name):
    study = load_study(name)
    assert study.title
    assert study.question
    assert expand(study)


def test_the_demo_is_what_the_readme_says():
    cells = expand(load_study("demo"))
    assert len(cells) == 8
    assert {cell.spec.arch.name for cell in cells} == {"transformer_pp", "sambay"}
    assert {cell.spec.parametrization.name for cell in cells} == {"mup_pp"}
    assert {cell.spec.data.source for cell in cells} == {"python_stdlib"}


def test_a_study_can_be_a_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: t\noverrides: [scale.tokens=65536, scale.tokens_per_param=null]\nproduct: {seed: [1, 2]}\n")
    study = load_study(str(path))
    assert study.name == "mine"
    assert len(expand(study)) == 2


@pytest.mark.parametrize("key", ["fit", "evaluate", "transfer", "budget"])
def test_a_heading_with_nothing_below_it_is_as_if_it_were_not_there(tmp_path, key):
    path = tmp_path / "mine.yaml"
    path.write_text("product: {seed: [1, 2]}\n")
    without = load_study(str(path))
    path.write_text(f"product: {{seed: [1, 2]}}\n{key}:\n")
    assert load_study(str(path)) == without


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("product: {arch: [a, b]\n", ["line 2", "not valid YAML"]),
        ("produkt: {seed: [1]}\n", ["unknown key 'produkt'", "Did you mean 'product'"]),
        ("budgett:\n", ["unknown key 'budgett'", "Did you mean 'budget'"]),
        ("zip: {seed: [1, 2], scale.width: [16]}\n", ["seed has 2", "scale.width has 1"]),
        ("product: {seed: []}\n", ["seed has no values"]),
        ("product: {seed: [1]}\nzip: {seed: [1]}\n", ["seed stands in product and in zip"]),
        ("fit: {level: 2.0}\n", ["fit.level = 2.0"]),
        ("- a\n", ["must be a mapping"]),
        ("product: {seed: [1], seed: [2]}\n", ["duplicate key seed"]),
        ("name: ../../elsewhere\n", ["name = '../../elsewhere'", "letters"]),
        ("product: 3\n", ["product = 3"]),
        ("product: {seed: 3}\n", ["product.seed = 3", "list"]),
        ("overrides: seed=3\n", ['overrides = "seed=3"']),
        ("overrides: [3]\n", ["overrides.0 = 3"]),
    ],
)
def test_a_wrong_study_file_is_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_study(str(path))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_file_that_is_not_text_and_a_folder_are_refused(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"title: \xe9\xff\n")
    with pytest.raises(UserError, match=r"binary\.yaml"):
        load_study(str(tmp_path / "binary.yaml"))
    with pytest.raises(UserError, match="does not exist"):
        load_study(f"{tmp_path}/")


def test_dates_stay_text_and_exponents_are_numbers(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: 2020-01-01\nproduct: {scale.base.learning_rate: [1e-3]}\n")
    study = load_study(str(path))
    assert study.title == "2020-01-01"
    assert study.product["scale.base.learning_rate"] == [1e-3]


@pytest.mark.parametrize("text", ["my, group", "a(b", "2024", "it's", "back\\", "a=b", "\\'", "null", "1e3", "ä b"])
def test_text_reaches_the_spec_as_it_stands(text):
    (cell,) = expand(Study(name="s", overrides=FAST, product={"wandb.group": [text]}))
    assert cell.spec.wandb.group == text


def test_mappings_and_lists_reach_the_spec_as_they_stand():
    mixers = {"gated_deltanet": {"norm": "before_gate"}, "gmu": {"normalized": False}}
    swept = {"arch.mixers": [mixers], "wandb.tags": [["a b", "null", "7"]]}
    study = Study(name="s", overrides=(*FAST, "arch=gdny"), product=swept)
    (cell,) = expand(study)
    assert cell.spec.arch.mixers == mixers
    assert cell.spec.wandb.tags == ("a b", "null", "7")


def test_cells_that_differ_only_in_how_they_are_carried_out_are_refused():
    with pytest.raises(UserError, match=r"execution\.threads=1 and execution\.threads=2 are one run"):
        expand(Study(name="s", overrides=FAST, product={"execution.threads": [1, 2]}))


def test_sweeps_without_a_list_of_values_are_refused():
    for override in ("scale.depth=interval(8,12)", "arch=glob(*)"):
        with pytest.raises(UserError, match="use commas"):
            expand_multirun([override, *FAST])


def test_an_impossible_cell_is_named(tmp_path):
    with pytest.raises(UserError, match=r"study s, cell scale\.depth=10: .*scale\.depth = 10"):
        expand(Study(name="s", product={"scale.depth": [8, 10]}))


def test_unknown_studies_are_refused_with_the_near_name():
    with pytest.raises(UserError, match="unknown study 'dmo'. Did you mean 'demo'"):
        load_study("dmo")
    with pytest.raises(UserError, match="does not exist"):
        load_study("./dmo.yaml")
