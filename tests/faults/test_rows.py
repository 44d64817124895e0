"""Which test holds which row: the fault matrix of the runner, and the catalogue's cases 106 to 145.

A row that names several steps has a test for each, or one that takes the steps as parameters. The
loops over every operation (test_every_operation, test_crash, test_disk_faults) hold whole rows.

Without a test is what the command line does not have: a configuration file (114), templates and
expressions of users (115), a guard against addresses of the user's own choosing (135).

Held otherwise than the case says. There are no price files (116): the list comes with a package,
and
a model that it lacks, or whose rate is nothing, negative or no number, has an unknown price, under
which a cap sends nothing. There is no `--resume` (121): the same command goes on, models and
endpoints are part of the input, and another input, service or account is refused with the
difference. Of interpreters (122) this one runs the golden run as it is and with -O, -OO and
-W error; `make pythons` compares the others. Results that expired unread (142) end with exit code 1
and not 4: 1 says that lines are without a good result, these are, and scripts that ask which read
the ledger; a code for each reason would leave none for a job that has two. Adversarial ids (145)
cannot be made, since digests are keyed anew in each process; the work per line is counted elsewhere
(bench/test_counts.py).
"""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

MATRIX = {
    "kill before the step's intent": "faults/test_every_operation.py::test_stopped_before_every_operation_of_five_shards",
    "kill after intent, before send": "faults/test_crash.py::test_killed_at_every_call_of_the_backend",
    "kill after intent, create, stop": "faults/test_crash.py::test_killed_at_every_call_the_cautious_never_make_a_second_batch",
    "kill after send, before reply": "faults/test_protocol.py::test_stop_never_pays_twice_whatever_happens_to_the_create",
    "kill after reply, before journal": "faults/test_crash.py::test_killed_at_every_write_of_the_journal",
    "kill, merge": "faults/test_crash.py::test_killed_at_every_file_put_in_place",
    "kill, retry round": "runner/planning/test_retry_round.py::test_rounds_survive_a_kill_at_every_write_of_the_journal",
    "kill, cancel": "cli/commands/test_cancel_and_watch.py::test_a_job_on_the_simulator_is_cancelled_by_its_next_run",
    "kill, download": "runner/effects/test_download.py::test_another_process_starts_over",
    "power loss": "faults/test_crash.py::test_the_intent_is_on_the_disk_before_the_request_leaves",
    "connect refused": "faults/test_matrix.py::test_a_request_that_goes_wrong_costs_no_second_batch",
    "DNS, TLS": "backends/openai/test_request_fates.py::test_a_request_that_was_never_sent_changed_nothing",
    "read time-out, reset, 502, create": "backends/openai/test_request_fates.py::test_silence_leaves_a_write_open",
    "read time-out, upload": "faults/test_crash.py::test_an_upload_whose_answer_was_lost_is_found_and_adopted",
    "read time-out, download": "backends/openai/test_resumed_downloads.py::test_case_073_a_download_that_is_cut_goes_on_over_a_port",
    "500 with body": "backends/openai/test_request_fates.py::test_row_015_a_5xx_answer_leaves_a_write_open",
    "429": "backends/openai/test_errors.py::test_row_007_retry_after_is_between_0_and_an_hour_or_unknown",
    "429, create": "runner/engine/test_perform.py::test_before_a_refused_create_is_sent_again_its_effect_is_looked_for",
    "401, 403": "faults/test_matrix.py::test_preflight_a_restricted_key_stops_before_anything_is_uploaded",
    "400, 404, 422, create": "faults/test_crash.py::test_a_refusal_stops_with_the_words_of_the_service",
    "404, poll": "faults/test_crash.py::test_a_batch_that_this_key_does_not_know_is_never_made_again",
    "404, download": "runner/results/test_collect.py::test_result_files_that_expired_become_missing_lines",
    "409": "backends/openai/test_request_fates.py::test_a_409_is_a_conflict_only_where_an_object_s_state_is_changed",
    "200 with garbage": "backends/openai/test_request_fates.py::test_an_answer_that_cannot_be_read_leaves_a_write_open",
    "duplicate delivery": "faults/test_matrix.py::test_a_twin_is_cancelled_while_it_is_validating",
    "late delivery": "faults/test_crash.py::test_a_create_that_takes_effect_late_is_adopted_while_it_settles",
    "list stale, unsorted": "faults/test_matrix.py::test_list_stale_or_unsorted",
    "list, page drift": "runner/effects/test_batch_list.py::test_a_search_ends_at_the_first_entry_that_is_too_old",
    "status backwards, unknown; counts shrink": "faults/test_odd_answers.py::test_a_job_goes_well_whatever_is_odd_about_its_batch",
    "completed without ids": "runner/test_run.py::test_result_ids_that_never_come_leave_missing_lines",
    "output missing, double, foreign": "faults/test_twelve_points.py::test_point_07_what_the_files_hold_and_should_not_is_named",
    "disk full, EIO, EROFS, fsync": "faults/test_disk_faults.py::test_every_write_fails_once_and_the_next_run_goes_on",
    "disk full, journal": "faults/test_disk_faults.py::test_a_journal_that_cannot_be_opened_for_want_of_room_is_not_called_damaged",
    "clock jumps": "faults/test_matrix.py::test_clock_jumps_while_a_create_settles",
    "clock of the service": "faults/test_matrix.py::test_the_service_s_clock_is_a_day_off",
    "second runner, same machine": "runner/test_run.py::test_a_second_runner_is_refused_and_told_of_the_first",
    "second runner, other machine": "faults/test_matrix.py::test_second_runner_with_a_copied_lock_cannot_write",
    "second runner, audit": "faults/test_matrix.py::test_p5_batches_that_the_journal_does_not_know_are_told_at_the_end",
    "input changed": "runner/test_run.py::test_an_input_that_changed_is_refused",
    "input changed, under way": "runner/test_run.py::test_an_input_that_changes_under_way_is_noticed_before_a_batch_is_made",
    "job dir deleted": "cli/commands/test_recover.py::",
    "job dir restored": "faults/test_matrix.py::test_job_dir_restored_from_old_backup_adopts_what_the_journal_lacks",
    "job dir rots": "runner/effects/test_verify_downloads.py::test_a_file_that_changed_between_two_runs_is_fetched_again",
    "key rotated": "faults/test_matrix.py::test_key_rotated_mid_run",
    "signals": "cli/running/test_signals.py::test_a_create_under_way_is_finished_and_recorded_first",
    "signals, twice": "cli/running/test_signals.py::test_two_signals_end_a_real_process_in_a_create_that_hangs",
    "signals, transfers": "cli/running/test_signals_during_transfers.py::test_transfers_side_by_side_hold_no_stop_up_and_go_on_next_time",
    "signals, create": "cli/running/test_signals_during_transfers.py::test_a_create_under_way_beside_transfers_is_finished_and_recorded_first",
}

CASES = {
    106: "cli/commands/test_run.py::test_row_106_a_cap_that_is_no_amount_is_refused",
    107: "runner/schedule/test_budget.py::test_row_107_a_cap_smaller_than_the_first_shard_stops_before_the_upload",
    108: "cli/commands/test_run.py::test_results_over_a_file_of_the_job_are_refused",
    109: "faults/test_matrix.py::test_row_109_a_directory_that_everybody_may_write_to_is_refused",
    110: "faults/test_matrix.py::test_row_110_a_lock_that_is_a_link_is_refused_and_not_followed",
    111: "backends/openai/test_connection.py::test_a_key_that_no_header_can_carry_is_refused_without_being_shown",
    112: "backends/openai/test_connection.py::test_an_address_that_gives_the_key_away_is_refused",
    113: "backends/openai/test_connection.py::test_row_113_a_proxy_is_heeded",
    116: "pricing/test_prices.py::test_row_116_a_rate_that_can_be_none_makes_the_price_unknown",
    117: "cli/terminal/test_process.py::test_closed_streams_stop_nothing",
    118: "cli/terminal/test_process.py::test_a_signal_ends_a_run_as_an_interrupt",
    119: "test_amounts.py::test_a_time_that_no_calendar_holds_is_shown_as_it_is",
    120: "cli/test_inputs.py::test_row_027_results_may_have_any_name_and_it_is_shown_escaped",
    121: "runner/test_run.py::test_a_job_rehearsed_on_one_service_is_not_continued_on_another",
    122: "golden/test_golden.py::test_another_process_has_it_too",
    123: "faults/test_odd_answers.py::test_case_123_an_answer_to_a_create_that_is_no_batch_leaves_one_batch",
    124: "faults/test_odd_answers.py::test_a_job_goes_well_whatever_is_odd_about_its_batch",
    125: "faults/test_odd_answers.py::test_a_job_goes_well_whatever_is_odd_about_its_batch",
    126: "backends/openai/test_connection.py::test_a_redirect_never_reaches_the_other_host",
    127: "backends/openai/test_errors.py::test_row_007_retry_after_is_between_0_and_an_hour_or_unknown",
    128: "backends/openai/test_connection.py::test_row_128_a_file_in_an_encoding_nobody_asked_for_is_whole_or_broken",
    129: "faults/test_cut_downloads.py::test_case_129_a_content_without_end_does_not_fill_the_disk",
    130: "backends/openai/test_tls.py::test_row_130_a_certificate_that_does_not_hold_is_told_and_nothing_is_sent",
    131: "faults/test_odd_answers.py::test_a_job_goes_well_whatever_is_odd_about_its_batch",
    132: "backends/openai/test_request_fates.py::test_an_answer_that_cannot_be_read_leaves_a_write_open",
    133: "backends/openai/test_errors.py::test_an_echoed_key_is_not_passed_on",
    134: "server/test_recording_proxy.py::test_only_the_api_goes_upstream_and_the_proxy_finds_itself",
    136: "runner/results/test_collect.py::test_the_first_good_line_wins_and_nothing_is_lost",
    137: "faults/test_cut_downloads.py::test_case_137_a_file_cut_at_a_thousand_places_is_fetched_until_it_is_whole",
    138: "faults/test_cut_downloads.py::test_case_138_a_line_of_fifty_megabytes_comes_through_byte_for_byte",
    139: "runner/results/test_collect.py::test_the_first_good_line_wins_and_nothing_is_lost",
    140: "runner/results/test_collect.py::test_odd_lines_are_carried_as_they_are_and_count_as_failed",
    141: "runner/journal/test_anomalies.py::test_row_141_results_of_another_batch_stop_the_job_and_are_fetched_anew",
    142: "runner/results/test_collect.py::test_result_files_that_expired_become_missing_lines",
    143: "runner/adoption/test_adopt.py::test_a_good_result_is_never_replaced_and_the_later_one_is_kept_apart",
    144: "faults/test_crash.py::test_killed_at_every_file_put_in_place",
    145: "domain/validation/test_custom_ids.py::test_row_145_ids_made_to_collide_are_spread_evenly",
}

WITHOUT = {114, 115, 135}


@pytest.mark.parametrize("row", [*MATRIX, *CASES])
def test_a_row_has_its_test(row):
    path, _, name = {**MATRIX, **CASES}[row].partition("::")
    assert re.search(rf"^def {name or 'test_'}", (TESTS / path).read_text(), re.MULTILINE), row


def test_no_case_is_left_out():
    assert CASES.keys() | WITHOUT == set(range(106, 146))
