"""Where several drivers of one study meet: a database that says who trains what, and hands round what is done.

Every driver keeps a whole study directory of its own; the database holds the claims and the finished trainings. A claim is
made before a training begins, so that nothing is trained twice; claims of a driver that has gone silent are given up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from qap.config.schema import Study as Config
from qap.errors import InputError, QapError, ToolMissingError
from qap.models.builders import Weights
from qap.search.formats import FORMAT
from qap.search.messages import pack, unpack
from qap.search.record import Key, Record
from qap.search.study import first_difference

BEAT_SECONDS, SILENT_SECONDS = 5.0, 60.0
"""A driver shows that it lives so often; without a sign for so long its claims are free again."""
RETRY_SECONDS, PATIENCE_SECONDS = 1.0, 300.0
"""A database that does not answer is asked again so often and for so long."""
ANSWER_SECONDS = 30
"""A database that takes longer to answer counts as one that does not."""
INSERT = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
LOST = sql.exc.DBAPIError, OSError
"""A database that has gone away; the driver for PostgreSQL lets errors of the network through as they are."""
URLS = "expected sqlite:///FILE for drivers of one machine, or postgresql://user@host/database"

_META = sql.MetaData()
STUDIES = sql.Table(
    "qap_studies", _META,
    sql.Column("name", sql.String, primary_key=True),
    sql.Column("format", sql.Integer, nullable=False),
    sql.Column("config", sql.Text, nullable=False),
    sql.Column("data_sha256", sql.String, nullable=False),
    sql.Column("turn", sql.Integer, nullable=False),  # raised by every claim: it locks, and it numbers
)  # fmt: skip
DRIVERS = sql.Table(
    "qap_drivers", _META,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("study", sql.String, nullable=False),
    sql.Column("name", sql.String, nullable=False),
    sql.Column("beat", sql.Integer, nullable=False),
)  # fmt: skip
TRAININGS = sql.Table(
    "qap_trainings", _META,
    sql.Column("study", sql.String, primary_key=True),
    sql.Column("candidate", sql.String, primary_key=True),
    sql.Column("rung", sql.Integer, primary_key=True),
    sql.Column("number", sql.Integer, nullable=False),
    sql.Column("driver", sql.Integer, nullable=False),
    sql.Column("done", sql.Integer),  # place among those of its driver; none while it is in training
    sql.Column("line", sql.Text),
    sql.Column("weights", sql.LargeBinary),
    sql.Index("qap_done", "study", "driver", "done"),
)  # fmt: skip

Result = TypeVar("Result")
Say = Callable[[str], None]


class Meeting:
    """One driver's place in a study that several share.

    Parameters
    ----------
    url : str
        ``sqlite:///FILE``, or ``postgresql://user:password@host/database``.
    config : Config
        Studies of one name in one database are the same study, and must have the same configuration but for their budgets.
    data_sha256 : str
        Digest of the events.
    say : callable, optional
        Told when the database does not answer, and when claims are given up.

    Raises
    ------
    InputError
        The database cannot be reached, or holds another study of that name.
    ToolMissingError
        The driver for PostgreSQL is not installed.

    Attributes
    ----------
    driver : int
        Number of this driver in the database.
    place : int
        Drivers that came to the study before.
    """

    def __init__(self, url: str, config: Config, data_sha256: str, say: Say = lambda message: None) -> None:
        self._say, self._study, self._done = say, config.name, 0
        self._seen: dict[int, int] = {}
        self._beats: dict[int, tuple[int, float]] = {}
        self._engine, self.driver, self.place = _engine(url), 0, 0
        try:
            _META.create_all(self._engine)
            self.driver = self._join(config, data_sha256)
        except LOST as error:
            raise InputError(f"--share: {_shown(self._engine.url)}: {_reason(error)}") from None
        self._stop = threading.Event()
        threading.Thread(target=self._beat, daemon=True, name="beat").start()

    def _join(self, config: Config, data_sha256: str) -> int:
        values: dict[str, Any] = {"name": config.name, "config": config.model_dump_json(), "data_sha256": data_sha256}
        values |= {"format": FORMAT, "turn": 0}
        with self._engine.begin() as connection:
            connection.execute(self._insert(STUDIES).values(values).on_conflict_do_nothing())
            there = connection.execute(sql.select(STUDIES).where(STUDIES.c.name == config.name)).one()
            where = f"--share: {_shown(self._engine.url)}: study {config.name!r}"
            if there.format != FORMAT:
                raise InputError(f"{where}: expected study format {FORMAT}, received {there.format}: use one version of qap")
            if (different := first_difference(Config.model_validate_json(there.config), config)) is not None:
                raise InputError(f"{where}: begun with another configuration: {different}. Choose another name=")
            if there.data_sha256 != data_sha256:
                raise InputError(f"{where}: begun with other events. Choose another name=")
            me = {"study": config.name, "name": f"{socket.gethostname()}:{os.getpid()}", "beat": 0}
            found = int(connection.execute(sql.insert(DRIVERS).values(me).returning(DRIVERS.c.id)).scalar_one())
            before = sql.select(sql.func.count()).where(DRIVERS.c.study == config.name, DRIVERS.c.id < found)
            self.place = int(connection.execute(before).scalar_one())
            return found

    def close(self) -> None:
        """Leave; claims that are not done are free at once, or, where the database is gone, when this driver has been silent."""
        self._stop.set()
        with contextlib.suppress(*LOST), self._engine.begin() as connection:
            self._free(connection, [self.driver])
        self._engine.dispose()

    def claim(self, keys: Sequence[Key], most: int | None) -> dict[Key, int]:
        """Take trainings, as long as the study has fewer than `most`.

        Returns
        -------
        dict
            Number of each training that is now this driver's; the others are somebody else's, or beyond the budget.
        """

        def take(connection: sql.Connection) -> dict[Key, int]:
            mine = TRAININGS.c.study == self._study
            connection.execute(sql.update(STUDIES).where(STUDIES.c.name == self._study).values(turn=STUDIES.c.turn))  # locks
            count = connection.execute(sql.select(sql.func.count()).select_from(TRAININGS).where(mine)).scalar_one()
            turn = connection.execute(sql.select(STUDIES.c.turn).where(STUDIES.c.name == self._study)).scalar_one()
            for candidate, rung in keys:
                if most is not None and count >= most:
                    break
                row = {"study": self._study, "candidate": candidate, "rung": rung, "number": turn, "driver": self.driver}
                new = connection.execute(self._insert(TRAININGS).values(row).on_conflict_do_nothing()).rowcount
                count, turn = count + new, turn + new
            connection.execute(sql.update(STUDIES).where(STUDIES.c.name == self._study).values(turn=turn))
            rows = connection.execute(
                sql.select(TRAININGS.c.candidate, TRAININGS.c.rung, TRAININGS.c.number)
                .where(mine, TRAININGS.c.driver == self.driver, TRAININGS.c.candidate.in_([key[0] for key in keys]))
            )  # fmt: skip
            return {(row.candidate, row.rung): row.number for row in rows if (row.candidate, row.rung) in set(keys)}

        return self._try(take) if keys else {}

    def publish(self, record: Record, weights: Weights | None) -> None:
        """Hand a finished training round."""
        self._done += 1
        key, values = record.key, {
            "driver": self.driver, "done": self._done, "line": record.line(),
            "weights": None if weights is None else pack(weights),
        }  # fmt: skip
        row = {"study": self._study, "candidate": key[0], "rung": key[1], "number": record.number, **values}

        def put(connection: sql.Connection) -> None:  # a claim that was given up meanwhile is made again
            where = ["study", "candidate", "rung"]
            connection.execute(self._insert(TRAININGS).values(row).on_conflict_do_update(index_elements=where, set_=values))
            late = STUDIES.c.name == self._study, STUDIES.c.turn <= record.number  # of a store from before the meeting
            connection.execute(sql.update(STUDIES).where(*late).values(turn=record.number + 1))

        self._try(put)

    def finished(self) -> set[Key]:
        """Return the trainings that are done, whoever has done them."""
        query = sql.select(TRAININGS.c.candidate, TRAININGS.c.rung).where(
            TRAININGS.c.study == self._study, TRAININGS.c.done.is_not(None)
        )
        return {(row.candidate, row.rung) for row in self._try(lambda connection: connection.execute(query).all())}

    def pull(self) -> list[tuple[Record, dict[str, Any] | None]]:
        """Return what other drivers have done since the last time, with weights."""

        def read(connection: sql.Connection) -> Sequence[Any]:
            last = [sql.and_(TRAININGS.c.driver == driver, TRAININGS.c.done <= done) for driver, done in self._seen.items()]
            query = sql.select(TRAININGS).where(
                TRAININGS.c.study == self._study, TRAININGS.c.done.is_not(None), TRAININGS.c.driver != self.driver,
                sql.not_(sql.or_(sql.false(), *last)),
            ).order_by(TRAININGS.c.number)  # fmt: skip
            return connection.execute(query).all()

        found = []
        for row in self._try(read):
            self._seen[row.driver] = max(self._seen.get(row.driver, 0), row.done)
            found.append((Record.read(row.line), None if row.weights is None else unpack(row.weights)))
        return found

    def taken(self) -> int:
        """Return how many trainings are done or claimed."""
        query = sql.select(sql.func.count()).select_from(TRAININGS).where(TRAININGS.c.study == self._study)
        return int(self._try(lambda connection: connection.execute(query).scalar_one()))

    def others_train(self) -> bool:
        """Tell whether other drivers have, or had, claims that are not done: those of silent drivers are free from now on."""
        query = sql.select(TRAININGS.c.driver).distinct().where(
            TRAININGS.c.study == self._study, TRAININGS.c.done.is_(None), TRAININGS.c.driver != self.driver
        )  # fmt: skip
        busy = {row.driver for row in self._try(lambda connection: connection.execute(query).all())}
        silent = self._silent(busy)
        if silent:
            self._say(f"claims of {len(silent)} driver(s) that are silent for {SILENT_SECONDS:.0f} s are free again")
            self._try(lambda connection: self._free(connection, silent))
        return bool(busy)

    def _silent(self, drivers: Collection[int]) -> set[int]:
        """Return the drivers whose sign of life has not changed for long, by this driver's own clock."""
        query, now = sql.select(DRIVERS.c.id, DRIVERS.c.beat).where(DRIVERS.c.id.in_(drivers)), time.monotonic()
        for row in self._try(lambda connection: connection.execute(query).all()):
            before = self._beats.get(row.id)
            if before is None or before[0] != row.beat:
                self._beats[row.id] = row.beat, now
        return {driver for driver in drivers if now - self._beats.get(driver, (0, now))[1] > SILENT_SECONDS}

    def _free(self, connection: sql.Connection, drivers: Collection[int]) -> None:
        connection.execute(
            sql.delete(TRAININGS).where(
                TRAININGS.c.study == self._study, TRAININGS.c.done.is_(None), TRAININGS.c.driver.in_(drivers)
            )
        )

    def _beat(self) -> None:
        alive = sql.update(DRIVERS).where(DRIVERS.c.id == self.driver).values(beat=DRIVERS.c.beat + 1)
        while not self._stop.wait(BEAT_SECONDS):
            with contextlib.suppress(*LOST), self._engine.begin() as connection:  # the search itself notices and waits
                connection.execute(alive)

    def _insert(self, table: sql.Table) -> Any:
        return INSERT[self._engine.dialect.name](table)

    def _try(self, work: Callable[[sql.Connection], Result]) -> Result:
        """Run a transaction; a database that restarts is waited for."""
        until, said = time.monotonic() + PATIENCE_SECONDS, False
        while True:
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except LOST as error:
                self._engine.dispose()  # an error of the network alone leaves its connection in use
                if time.monotonic() > until:
                    raise QapError(
                        f"--share: {_shown(self._engine.url)}: no answer for {PATIENCE_SECONDS:.0f} s: {_reason(error)}; "
                        "what is trained is kept, go on with --resume"
                    ) from None
                if not said:
                    self._say(f"the database does not answer, it is asked again: {_reason(error)}")
                    said = True
                time.sleep(RETRY_SECONDS)


def _engine(text: str) -> sql.Engine:
    try:
        url = sql.make_url(text)
    except sql.exc.ArgumentError:
        raise InputError(f"--share: {URLS}; received {text!r}") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+pg8000")
    if url.get_backend_name() not in INSERT or (url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")):
        raise InputError(f"--share: {URLS}; received {_shown(url)}")
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL + 1)  # the user is told in words, once
    try:
        return sql.create_engine(url, pool_pre_ping=True, connect_args={"timeout": ANSWER_SECONDS})
    except ImportError:
        raise ToolMissingError("--share: PostgreSQL needs a driver: pip install 'qap[cluster]'") from None


def _shown(url: sql.URL) -> str:
    return url.render_as_string(hide_password=True)


def _reason(error: sql.exc.DBAPIError | OSError) -> str:
    cause = error.orig if isinstance(error, sql.exc.DBAPIError) else error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
