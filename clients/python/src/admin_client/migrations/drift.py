"""The catalog held against fixtures/persistence_schema.json, in both directions.

The same is asked by items A1 to A5 of admin.cutover_readiness, in the database and against the description that the extension
carries along; here the description is the client's, and the database may be of another version, or have no extension at all.
"""
from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import asyncpg

CATALOG = """
select jsonb_build_object('name', c.relname, 'kind', case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' end,
    'columns', coalesce((select jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'nullable', not a.attnotnull,
                                              'default', case when a.attidentity <> '' then 'identity' else pg_get_expr(d.adbin, d.adrelid) end) order by a.attnum)
                         from pg_catalog.pg_attribute as a left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
                         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]'),
    'constraints', coalesce((select jsonb_agg(k.conname || ' ' || pg_get_constraintdef(k.oid)) from pg_catalog.pg_constraint as k
                             where k.conrelid = c.oid and k.contype <> 'n'), '[]'),
    'triggers', coalesce((select jsonb_agg(t.tgname || ' ' || t.tgenabled::text) from pg_catalog.pg_trigger as t where t.tgrelid = c.oid and not t.tgisinternal), '[]'))::text
from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind in ('r', 'p', 'v') and not c.relispartition"""
VERSION = "select extversion from pg_catalog.pg_extension where extname = $1"
ENABLED = {"A": "always", "O": "in ordinary sessions alone", "R": "in replicas alone", "D": "disabled"}


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference.  expected, found: what the description and the catalog say; None: nothing."""

    what: str
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.what} is missing (described: {self.expected})"
        if self.expected is None:
            return f"{self.what} is not described (there: {self.found})"
        return f"{self.what}: described as {self.expected}, but is {self.found}"


def description() -> dict[str, Any]:
    """The client's own copy of fixtures/persistence_schema.json."""
    described: dict[str, Any] = json.loads(resources.files(__package__).joinpath("persistence_schema.json").read_text(encoding="utf-8"))
    return described


def named(kind: str, relation: str, lines: Iterable[str]) -> dict[str, str]:
    """Constraints and triggers: a name, a space, and what it is."""
    return {f"{kind} {relation}.{name}": what for name, _, what in (line.partition(" ") for line in lines)}


def parts(relation: dict[str, Any]) -> dict[str, str]:
    """All that is said of a relation, by name."""
    name = relation["name"]
    told = {f"{relation['kind']} {name}": "there"}
    for place, column in enumerate(relation["columns"], 1):
        default = column.get("default")
        told[f"column {name}.{column['name']}"] = f"column {place}: {column['type']}{'' if column['nullable'] else ' not null'}{'' if default is None else f' default {default}'}"
    told |= named("constraint", name, relation.get("constraints", []))
    triggers = named("trigger", name, relation.get("triggers", []))
    return told | {trigger: f"enabled {ENABLED.get(state, state)}" if state != "D" else "disabled" for trigger, state in triggers.items()}


def compare(described: dict[str, Any], there: list[dict[str, Any]], version: str | None) -> list[Drift]:
    """All differences, by name.  Of a relation that is missing, or should not be there, its name says enough."""
    found = [Drift(f"extension {described['extension']}", described["version"], version)] if version != described["version"] else []
    ours, theirs = ({relation["name"]: relation for relation in relations} for relations in (described["relations"], there))
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs or name not in ours or ours[name]["kind"] != theirs[name]["kind"]:
            kinds = [side[name]["kind"] if name in side else None for side in (ours, theirs)]
            found.append(Drift(f"relation {described['schema']}.{name}", *kinds))
            continue
        expected, actual = parts(ours[name]), parts(theirs[name])
        found += [Drift(part, expected.get(part), actual.get(part)) for part in sorted(expected.keys() | actual.keys()) if expected.get(part) != actual.get(part)]
    return found


async def look(dsn: str | None) -> list[Drift]:
    """Connects and compares.  Raises what asyncpg raises."""
    described = description()
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # So that expressions are written with the names that the description has.
            await connection.execute("set local search_path = pg_catalog")
            there = [json.loads(row[0]) for row in await connection.fetch(CATALOG, described["schema"])]
            return compare(described, there, await connection.fetchval(VERSION, described["extension"]))
    finally:
        await connection.close()


def as_json(found: list[Drift]) -> str:
    return json.dumps([asdict(drift) for drift in found], indent=2)
