"""Neo4j Community, from its Maven artifacts; 5.26 is kept for long and runs on Java 17."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import neo4j
from neo4j.exceptions import AuthError, DriverError, Neo4jError

from tests.services.launching import BUILT, NotToBeHad, Started, build, free_port, running, tool

POM = Path(__file__).parent / "neo4j" / "pom.xml"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
HEAP = "512m"
OLDEST_JAVA = 17
_OPENED = (
    "java.base/java.nio",
    "java.base/java.io",
    "java.base/sun.nio.ch",
    "java.base/java.util.concurrent",
)


# The driver tells of every try at a server that is still starting.
logging.getLogger("neo4j").addHandler(logging.NullHandler())


def prepared() -> Path:
    """The folder with the server's class path.

    Raises:
        NotToBeHad: Java or Maven is missing, or the artifacts cannot be fetched.
    """
    [version] = re.findall(r"<version>([\d.]{4,})</version>", POM.read_text(encoding="utf-8"))
    java = tool("java", "runs Neo4j")
    numbers = re.search(r"\d+", build([java, "--version"], f"Neo4j {version}"))
    if numbers is None or int(numbers[0]) < OLDEST_JAVA:
        raise NotToBeHad(f"Neo4j {version} needs Java {OLDEST_JAVA} or newer")
    folder = BUILT / f"neo4j-{version}"
    if folder.is_dir():
        return folder
    maven = tool("mvn", "fetches Neo4j")
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = [maven, "-B", "-q", "--strict-checksums", "-f", str(POM), PLUGIN]
    build([*command, "-DincludeScope=runtime", f"-DoutputDirectory={part}"], f"Neo4j {version}")
    part.rename(folder)
    return folder


@contextmanager
def served(folder: Path, *, port: int = 0, password: str = "") -> Iterator[Started]:
    """A server with a random password on a free port, unless told; what the folder held it holds again.

    Raises:
        NotToBeHad: It cannot be made or does not start.
    """
    jars, port, password = prepared(), port or free_port(), password or secrets.token_urlsafe(18)
    configuration = folder / "conf" / "neo4j.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(
        f"server.bolt.listen_address=127.0.0.1:{port}\n"
        f"server.directories.data={folder}/data\n"
        "server.http.enabled=false\nserver.https.enabled=false\n"
        "server.memory.pagecache.size=64m\ndbms.usage_report.enabled=false\n",
        encoding="utf-8",
    )
    command = [
        tool("java", "runs Neo4j"),
        *(f"-Xmx{HEAP}", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"),
        *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED),
        *("-cp", f"{jars}/*", "org.neo4j.server.CommunityEntryPoint"),
        *(f"--home-dir={folder}", f"--config-dir={configuration.parent}"),
    ]
    uri = f"bolt://127.0.0.1:{port}"
    with running(command, folder) as server:
        server.wait_until(lambda: _takes_password(uri, password), "Neo4j")
        with neo4j.GraphDatabase.driver(uri, auth=("neo4j", password)) as driver:
            [found] = driver.execute_query("CALL dbms.components() YIELD versions, edition").records
        yield Started(
            {"TEST_NEO4J_URI": uri, "TEST_NEO4J_USER": "neo4j", "TEST_NEO4J_PASSWORD": password},
            f"Neo4j {found['versions'][0]} {found['edition']}",
            server.process.pid,
        )


def _takes_password(uri: str, password: str) -> bool:
    """Whether the server answers, and has taken the password in place of the one it comes with."""
    change = "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $password"
    try:
        with neo4j.GraphDatabase.driver(
            uri, auth=("neo4j", "neo4j"), connection_timeout=2, max_transaction_retry_time=0
        ) as driver:
            driver.execute_query(change, password=password, database_="system")
    except AuthError:  # it has taken it
        return True
    except (DriverError, Neo4jError, OSError):
        return False
    return True
