"""The laws of reading against the kinds of source: which test shows each of them.

Every cell names a test; a cell without one says why the law has nothing to do there.
"""

import importlib

import pytest

FOLDER, ARCHIVES = "pipeline.sources.test_folder", "pipeline.sources.test_archives"
CONTAINERS, TEXTS = "pipeline.sources.test_archive_containers", "pipeline.sources.test_archive_texts"
DATA_SETS = "pipeline.sources.test_archive_data_sets"
TABLES, CLIP = "pipeline.sources.test_picture_tables", "pipeline.sources.test_chinese_clip"
LISTS, URLS, CSV = "pipeline.fetch.test_known_lists", "pipeline.fetch.test_url_lists", "pipeline.tables.test_csv_rows"
AGAIN, MEASURING = "pipeline.test_read_again", "pipeline.test_measuring"

_READ_AGAIN = f"{AGAIN}::test_export_finds_the_pictures_that_were_measured"
_METADATA = f"{MEASURING}::test_broken_metadata_cost_no_pixel_and_are_named"

LAWS: dict[str, dict[str, str]] = {
    "1 conservation": {
        "folder": f"{FOLDER}::test_every_file_of_a_folder_is_a_pair_or_belongs_to_one_or_is_counted",
        "webdataset": f"{ARCHIVES}::test_every_member_is_a_pair_or_belongs_to_one_or_is_passed_over",
        "parquet": f"{TABLES}::test_any_arrow_type_of_captions_gives_texts_or_nothing_or_a_broken_row_and_loses_none",
        "chinese-clip": f"{CLIP}::test_no_line_and_no_text_is_lost",
        "urls": f"{CSV}::test_as_many_rows_are_lost_as_have_a_fault",
    },
    "2 text is decoded or refused": {
        "folder": f"{FOLDER}::test_text_beside_pictures_is_decoded_by_the_encoding_of_the_source",
        "webdataset": f"{TEXTS}::test_the_encoding_of_texts_is_told_for_the_source_and_recorded",
        "parquet": f"{TABLES}::test_captions_in_bytes_are_decoded_by_the_encoding_of_the_source",
        "chinese-clip": f"{CLIP}::test_the_texts_of_the_competition_and_of_another_encoding",
        "urls": f"{LISTS}::test_lists_in_every_encoding_are_read_right_and_say_it",
    },
    "3 a fault stays in its row": {
        "folder": f"{FOLDER}::test_rows_that_cannot_be_read_cost_no_other_row",
        "webdataset": f"{TEXTS}::test_a_text_that_is_not_of_the_encoding_is_a_broken_row",
        "parquet": f"{TABLES}::test_captions_of_any_type_are_text_or_a_broken_row",
        "chinese-clip": f"{CLIP}::test_a_fault_in_the_tsv_stays_in_its_line",
        "urls": f"{CSV}::test_of_sixty_rows_a_fault_costs_one",
    },
    "4 any type is text or a reason": {
        "folder": f"{FOLDER}::test_rows_that_cannot_be_read_cost_no_other_row",
        "webdataset": f"{TEXTS}::test_json_says_address_and_licence_and_a_value_that_is_no_text_breaks_its_row",
        "parquet": f"{TABLES}::test_any_arrow_type_of_captions_gives_texts_or_nothing_or_a_broken_row_and_loses_none",
        "chinese-clip": f"{CLIP}::test_texts_without_pictures_and_pictures_without_texts_are_rows",
        "urls": f"{LISTS}::test_a_cell_of_any_type_is_text_or_a_broken_row",
    },
    "5 what was read first is read again": {
        "folder": f"{FOLDER}::test_file_names_of_any_bytes_are_read_again",
        "webdataset": _READ_AGAIN,
        "parquet": _READ_AGAIN,
        "chinese-clip": _READ_AGAIN,
        "urls": "pipeline.fetch.test_fetch_runs",
    },
    "6 names as people write them": {
        "folder": f"{FOLDER}::test_names_are_matched_as_people_write_them",
        "webdataset": f"{DATA_SETS}::test_captions_may_stand_anywhere_and_name_members_of_several_archives",
        "parquet": f"{TABLES}::test_paths_are_read_below_the_source_and_nowhere_else",
        "chinese-clip": "its pictures have ids, no names",
        "urls": "its pictures have addresses, no names",
    },
    "7 broken metadata costs no pixels": dict.fromkeys(
        ("folder", "webdataset", "parquet", "chinese-clip", "urls"), _METADATA
    ),
    "8 no input ends in a traceback": {
        "folder": f"{FOLDER}::test_an_encoding_that_is_not_clear_is_asked_for",
        "webdataset": f"{CONTAINERS}::test_an_archive_that_is_not_whole_is_one_line_with_the_byte_and_the_cure",
        "parquet": f"{TABLES}::test_a_table_that_cannot_be_read_is_refused_in_its_own_words",
        "chinese-clip": f"{CLIP}::test_a_folder_that_is_none_is_refused_in_its_own_words",
        "urls": f"{URLS}::test_a_list_that_cannot_be_read_is_one_line_with_the_cure",
    },
}


@pytest.mark.parametrize("law", LAWS)
def test_every_cell_names_a_test_that_there_is(law: str) -> None:
    assert list(LAWS[law]) == ["folder", "webdataset", "parquet", "chinese-clip", "urls"]
    for cell in LAWS[law].values():
        if cell.startswith("its pictures"):
            continue
        module, _, name = cell.partition("::")
        found = importlib.import_module(f"tests.{module}")
        assert not name or callable(getattr(found, name))
