"""Our hooks on a real Slurm: what was to be shown, and where it is.

| case | test |
|---|---|
| a plain user's `mpirun -n 4` ends well | test_jobs: a_job_s_output_stands_exact_when_its_stage… |
| `srun --mpi=pmix`, `--mpi=pmi2` | test_jobs: ranks_that_srun_started_with_pmix…, …_with_pmi2… |
| `srun` without PMI is refused | test_jobs: srun_without_pmi_is_refused_and_nothing_is_recorded |
| the node is idle while finalize runs | test_jobs: the_node_is_free_for_others_while_finalize_w… |
| arrays; steps; several directive lines | test_jobs: an_array_s_tasks…, each_step_of_a_job…, …s… |
| a directive that makes no sense | test_jobs: a_directive_that_makes_no_sense_is_refused_at_sub… |
| one file fails: Reason, stage-out, by hand | test_failures: both |
| time limit, scancel: a writer ignores TERM | test_writers: a_cancelled_job…, a_job_over_its_ti… |
| an orphan writes on | test_writers: what_an_orphan_goes_on_writing_into_is_not_published |
| StageOutTimeout in the middle | test_kills: a_stage_out_that_is_killed_is_no_success_and_loses… |
| slurmctld: TERM in the middle | test_kills: a_restarted_slurmctld_stages_out_again_and_all_is… |
| slurmctld: KILL in the middle | test_kills: after_a_crash_of_slurmctld_finalize_by_hand_makes… |
| the finalizer is killed | test_kills: a_killed_finalizer_is_an_error_and_never_a_success |
| … in the 10 ms after its word | tests/lua: a_finalizer_that_is_killed_after_its_word_is_an_err… |
| `scancel --hurry` in the middle | test_kills: scancel_hurry_in_the_middle_touches_nothing_of_t… |
| requeue | test_queue: a_requeued_job_publishes_nothing_of_its_first_run… |
| two jobs on one destination | test_queue: two_jobs_on_one_destination_lose_no_byte_of_either |
| afterburstbuffer | test_queue: a_job_that_depends_on_the_burst_buffer_starts… |
| EpilogSlurmctld | test_epilog |
| a SlurmUser that is not root | test_sudo: with README's rules for sudo |
| polling, as from Slurm 24.05 on | test_poll: by plain Lua, since the packaged Slurm never poll… |
| README, word for word | test_readme; of the other configurations: tests/site/test_readmes |
"""
