"""Running the commands of an app as its operator does."""

import json


def run(app, *words, input=None):  # noqa: A002  click's own name for it
    """Run `flask WORDS` and return its exit code, its standard output and its standard error."""
    result = app.test_cli_runner().invoke(args=[str(word) for word in words], input=input)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_json(app, *words, **options):
    """Run a command that must succeed with --json, and return what it prints: one document and nothing else."""
    result = run(app, *words, "--json", **options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)
