#!/usr/bin/env python
"""Load on static files, beside nginx; needs `wrk`, `nginx` and `make build`.

Both servers run one worker on one processor and serve the same directory, without an access log; the load
comes from another processor. Each file is asked for from both in turns. Throughput of large files is often
limited by whoever reads them: CPU per request is the figure to look at. Figures are the medians of the rounds.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

from run import NATIVE, Target, free_port, load, medians, processors

SIZES = {"1 KiB": 1 << 10, "100 KiB": 100 << 10, "10 MiB": 10 << 20}

# What a site that cares for speed writes; open_file_cache, which may serve what is no longer there, stays off.
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
    }}
}}
"""


def nginx(folder, processor):
    """nginx, serving the folder's files."""
    port = free_port()
    # Workers of a master that is root would otherwise be another user, who may not read the folder.
    user = "user root;" if os.getuid() == 0 else ""
    configuration = Path(folder, "nginx.conf")
    configuration.write_text(NGINX.format(folder=folder, port=port, user=user))
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-e", "stderr", "-p", folder, "-c", str(configuration)]
    return Target("nginx", command, "start worker process ", processor, f"http://127.0.0.1:{port}")


def ferricorn(folder, processor):
    """Ferricorn with its defaults, serving the folder's files."""
    configuration = Path(folder, "ferricorn.toml")
    configuration.write_text(f'[[app]]\nstatic = "{folder}/files"\n')
    command = [str(NATIVE), "serve", "--config", str(configuration), "--bind", "127.0.0.1:0", "--workers", "1"]
    return Target("ferricorn", command, "ready:", processor)


def table(results):
    """The medians as text, with Ferricorn's part of what nginx has."""
    lines = [f"{'':10}{'server':12}{'req/s':>10}{'MiB/s':>9}{'CPU µs/req':>12}{'p99 ms':>9}{'failed':>8}"]
    for size, servers in results.items():
        for name, result in servers.items():
            mebibytes = result["per_second"] * SIZES[size] / (1 << 20)
            lines.append(
                f"{size:10}{name:12}{result['per_second']:10.0f}{mebibytes:9.0f}{result['cpu_us']:12.1f}"
                f"{result['p99_ms']:9.2f}{result['failed']:8.0f}"
            )
        ours, theirs = servers["ferricorn"], servers["nginx"]
        throughput = ours["per_second"] / theirs["per_second"]
        lines.append(f"{size:10}{'ratio':12}{throughput:10.2f}{'':9}{ours['cpu_us'] / theirs['cpu_us']:12.2f}")
    return "\n".join(lines)


def main():
    """Starts both, loads them in turns with each file, prints medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="length of one round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--sizes", default=",".join(SIZES), help="those to load, separated by commas")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    for program in ("wrk", "nginx"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            raise SystemExit(f"{program} is not installed (on Debian: apt install {program})")
    server_processor, load_processor = processors()
    sizes = [size.strip() for size in arguments.sizes.split(",")]

    targets, rounds = [], {size: {} for size in sizes}
    with tempfile.TemporaryDirectory(prefix="ferricorn-bench-") as folder:
        files = Path(folder, "files")
        files.mkdir()
        for size in sizes:
            Path(files, size.replace(" ", "")).write_bytes(os.urandom(SIZES[size]))
        try:
            for start in (ferricorn, nginx):
                targets.append(start(folder, server_processor))
            for size in sizes:
                path = "/" + size.replace(" ", "")
                for target in targets:
                    load(target, 1, arguments.connections, load_processor, path)  # Warms up.
                for _ in range(arguments.rounds):
                    for target in targets:
                        result = load(target, arguments.seconds, arguments.connections, load_processor, path)
                        rounds[size].setdefault(target.name, []).append(result)
        finally:
            for target in targets:
                target.stop()
    results = {size: {name: medians(of_one) for name, of_one in servers.items()} for size, servers in rounds.items()}
    print(json.dumps(results, indent=2) if arguments.json else table(results))


if __name__ == "__main__":
    main()
