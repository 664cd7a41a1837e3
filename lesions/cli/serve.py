"""python -m lesions serve: answers over the network."""

import socket

from lesions import classes
from lesions.cli.arguments import add_command, add_model, filled, importing_keras, positive

SUMMARY = "Answer pictures that are sent over the network."
EPILOG = f"""examples:
  python -m lesions serve
  curl -F file=@photo.jpg http://127.0.0.1:8000/predict
  curl -F file=@photo.jpg "http://127.0.0.1:8000/explain?target=mel" --output overlay.png

http://127.0.0.1:8000/docs describes and tries all addresses, with scripts from the internet;
/openapi.json describes them without. Pictures of up to 20 MB are held in memory only. Beyond
--queue pictures the answer is 503. Ctrl-C or SIGTERM finishes what waits, for up to 30 s.
It needs `pip install -r requirements-app.txt`.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    command = add_command(commands, "serve", run, SUMMARY, EPILOG)
    add = command.add_argument
    add("--host", type=filled, default="127.0.0.1", help="default: 127.0.0.1, this computer only")
    add("--port", type=positive, default=8000, metavar="N", help="default: 8000")
    add(
        "--queue",
        type=positive,
        default=64,
        metavar="N",
        help="pictures that may be answered and wait at a time (default 64)",
    )
    add_model(command)


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    with importing_keras():
        from lesions import serving
    try:
        import python_multipart  # noqa: F401

        from lesions.serving import service
    except ModuleNotFoundError as error:
        raise ValueError(
            f"The service needs the package {error.name}; get it by "
            "`pip install -r requirements-app.txt`."
        ) from error
    _check_free(arguments.host, arguments.port)
    assessor = serving.Assessor(arguments.model)
    assessor.warm_up()
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    print(f"Serving on http://{host}:{arguments.port}/docs. {classes.NOTICE}", flush=True)
    service.serve(assessor, arguments.host, arguments.port, arguments.queue)
    return 0


def _check_free(host: str, port: int) -> None:
    """Check that one may listen there, before seconds go into reading the network."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError, TypeError) as error:
        raise ValueError(
            f"The service cannot listen on {host}:{port} ({error}); name another --port or --host."
        ) from error
