"""Where the scripts and the console script begin: interrupts are handled before slow imports."""

from stenoscope.run import interrupts


def script(name: str, *others: str) -> int:
    """Run a step as its script does, `others` as its subcommands; returns the exit status."""
    interrupts.install()
    from stenoscope.app.steps import STEPS
    from stenoscope.run.arguments import start
    from stenoscope.run.commands import program

    return start(STEPS[name], {other: STEPS[other] for other in others}, program(STEPS[name].settings))


def console() -> int:
    """Run the console script `stenoscope`, whose subcommands are the steps; returns the exit status."""
    interrupts.install()
    from stenoscope.app.steps import STEPS
    from stenoscope.run.arguments import start
    from stenoscope.run.commands import CONSOLE

    return start(None, STEPS, CONSOLE)
