"""The reader's side: findings in, sentences and one self-contained page out. The only home of Jinja.

    from tolerance.reports.page import write
    write(report, Path("report"))

Nothing is imported here, so that sentences for the command line cost no template engine.
"""
