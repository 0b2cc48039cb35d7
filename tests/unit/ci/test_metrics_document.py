"""The catalogue of metrics: fresh, complete, and nothing of it breaks its tables."""

import metrics_document

from tonearm.telemetry.declaring import CATALOGUE


def test_the_catalogue_is_what_the_code_declares():
    assert metrics_document.FILE.read_text() == metrics_document.render()


def test_every_metric_has_one_row_of_five_cells():
    rows = [line for line in metrics_document.render().splitlines() if line.startswith("| `tonearm_")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(CATALOGUE)
    assert {row.count("|") for row in rows} == {6}


def test_a_metric_without_a_unit_is_a_number_of_things():
    assert metrics_document._unit(CATALOGUE["tonearm_players"]) == ""
    assert metrics_document._unit(CATALOGUE["tonearm_watch_timestamp_seconds"]) == "seconds since 1970"
    assert metrics_document._unit(CATALOGUE["tonearm_redis_memory_ratio"]) == "0 to 1"
