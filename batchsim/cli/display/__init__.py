"""Display: a job as text, as JSON, in a log, and live on a terminal.

In: values that ask nothing back (a JobView of `cli.jobs`; the JobSummary, Progress and Report of
`runner.progress`). Out: text, nearly always on stderr, and one JSON object on stdout.
`run_display` shows a run and its end, `job_text` and `job_json` a job at any time.
"""
