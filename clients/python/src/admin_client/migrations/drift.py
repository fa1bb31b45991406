"""Drift: the differences between a database and its specification (fixtures/persistence_schema.json).

Specification and catalog are both converted to one form: paths and the values found there. So the comparison needs no
knowledge of what it compares. Two rules go beyond the specification. Each of its relations is a member of its
extension, else pg_dump and DROP EXTENSION go wrong. Partitions have the triggers of their parent.

A relation that names an extension of its own, admin_ext_cutover, is specified only where that extension is installed:
it is dropped when the move is over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from .connection import connect

Path = tuple[str, ...]

ENABLED = {"A": "enabled always", "O": "enabled", "R": "enabled on replicas only", "D": "disabled"}

# One document of the same form as the specification, with "extension" (that the relation is a member of) and "parent".
CATALOG = """
select json_build_object(
    'version', (select extversion from pg_extension where extname = $2),
    'extensions', (select json_agg(extname) from pg_extension),
    'relations', coalesce((select json_agg(json_build_object(
        'name', c.relname,
        'kind', case when c.relispartition then 'partition' when c.relkind = 'r' then 'table' when c.relkind = 'p' then 'partitioned table'
                     when c.relkind = 'v' then 'view' when c.relkind = 'm' then 'materialized view' else 'foreign table' end,
        'parent', (select p.relname from pg_inherits join pg_class as p on p.oid = inhparent where inhrelid = c.oid and c.relispartition),
        'extension', (select e.extname from pg_depend as d join pg_extension as e on e.oid = d.refobjid
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'),
        'columns', (select json_agg(json_build_object(
                'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'nullable', not a.attnotnull,
                'default', case when a.attidentity <> '' then 'identity' else pg_get_expr(v.adbin, v.adrelid) end) order by a.attnum)
            from pg_attribute as a left join pg_attrdef as v on v.adrelid = a.attrelid and v.adnum = a.attnum
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
        'constraints', (select json_agg(k.conname || ' ' || pg_get_constraintdef(k.oid) order by k.conname)
            from pg_constraint as k where k.conrelid = c.oid and k.contype <> 'n'),
        'triggers', (select json_agg(t.tgname || ' ' || t.tgenabled::text order by t.tgname)
            from pg_trigger as t where t.tgrelid = c.oid and (not t.tgisinternal or t.tgparentid <> 0 and t.tgconstraint = 0))) order by c.relname)
        from pg_class as c where c.relnamespace = to_regnamespace(quote_ident($1)) and c.relkind in ('r', 'p', 'v', 'm', 'f')), '[]'))"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as specified."""

    path: Path
    """From the relation to the thing: `("admin.approval", "column state", "default")`."""
    expected: str | None
    """As specified; None: not specified."""
    found: str | None
    """In the catalog; None: not there."""

    def __str__(self) -> str:
        *within, name = self.path
        if self.found is None:
            what = f"is missing ({self.expected})"
        elif self.expected is None:
            what = f"is not specified ({self.found})"
        else:
            what = f"is {self.found} instead of {self.expected}"
        return f"{', '.join(within)}{': ' if within else ''}{name} {what}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def specification() -> dict[str, Any]:
    """The document that comes with the package."""
    document: dict[str, Any] = json.loads(
        (resources.files(__package__) / "persistence_schema.json").read_text(encoding="utf-8")
    )
    return document


async def catalog(spec: dict[str, Any]) -> dict[str, Any]:
    """What the database has of it.  `version` is None without the extension."""
    connection = await connect()
    try:
        await connection.execute("set search_path to pg_catalog")  # so that names come qualified, as specified
        document: dict[str, Any] = json.loads(await connection.fetchval(CATALOG, spec["schema"], spec["extension"]))
        return document
    finally:
        await connection.close()


def relations(spec: dict[str, Any], there: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the specification whose extension the database has."""
    specified = [{"extension": spec["extension"], **relation} for relation in spec["relations"]]
    return [relation for relation in specified if relation["extension"] in there["extensions"]]


def differences(spec: dict[str, Any], there: dict[str, Any]) -> list[Difference]:
    """Returns all differences, in the order of the specification. The parts of a missing thing are not listed again."""
    extension = f"extension {spec['extension']}"
    versions = [document["version"] and f"version {document['version']}" for document in (spec, there)]
    told = [Difference((extension,), *versions)] if versions[0] != versions[1] else []
    if there["version"] is None:
        return told
    specified = relations(spec, there)
    triggers = {relation["name"]: relation.get("triggers") for relation in specified}
    partitions = [
        {"name": relation["name"], "kind": "partition", "triggers": triggers.get(relation["parent"])}
        for relation in there["relations"]
        if relation["kind"] == "partition" and relation["name"] not in triggers
    ]
    expected = dict(_flat(spec["schema"], specified + partitions))
    found = dict(_flat(spec["schema"], there["relations"]))
    return told + list(_compared(expected, found)) + list(_misplaced(expected, found))


def _flat(schema: str, relations: list[dict[str, Any]]) -> Iterator[tuple[Path, str]]:
    for relation in relations:
        here = (f"{schema}.{relation['name']}",)
        yield here, relation["kind"]
        for trigger in relation.get("triggers") or []:
            name, _, enabled = trigger.rpartition(" ")
            yield (*here, f"trigger {name}"), ENABLED[enabled]
        if relation["kind"] == "partition":  # its columns and constraints are its parent's, and indexes are its own
            continue
        yield (*here, "extension"), relation["extension"] or "none"
        for column in relation.get("columns") or []:
            at = (*here, f"column {column['name']}")
            yield at, column["type"]
            yield (*at, "nullable"), "yes" if column["nullable"] else "no"
            yield (*at, "default"), column.get("default") or "none"
        for constraint in relation.get("constraints") or []:
            name, _, definition = constraint.partition(" ")
            yield (*here, f"constraint {name}"), definition


TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|[^()'"\s]+""")


def _groups(tokens: Iterator[str]) -> list[Any]:
    """What stands in parentheses as lists within lists."""
    items: list[Any] = []
    for token in tokens:
        if token == ")":
            break
        items.append(_groups(tokens) if token == "(" else token)
    return items


def _flattened(items: list[Any]) -> list[Any]:
    """Without parentheses that mean nothing: around parentheses, and around an AND within an AND, or an OR within an OR.

    pg_upgrade creates a CHECK from its own text, and loses them.
    """
    items = [_flattened(item) if isinstance(item, list) else item for item in items]
    while len(items) == 1 and isinstance(items[0], list):
        items = items[0]
    words = {item for item in items if isinstance(item, str) and item in ("AND", "OR")}
    if len(words) != 1 or any(item not in words for item in items[1::2]):
        return items
    flat: list[Any] = []
    for item in items:
        flat.extend(item if isinstance(item, list) and set(map(str, item[1::2])) == words else [item])
    return flat


def _meaning(path: Path, value: str | None) -> Any:
    """What is compared: of a constraint not its text."""
    return _flattened(_groups(iter(TOKEN.findall(value)))) if value and path[-1].startswith("constraint ") else value


def _compared(expected: dict[Path, str], found: dict[Path, str]) -> Iterator[Difference]:
    for path in {**expected, **found}:
        whole = path[:-1]
        if _meaning(path, expected.get(path)) != _meaning(path, found.get(path)) and (
            not whole or whole in expected and whole in found
        ):
            yield Difference(path, expected.get(path), found.get(path))


def _misplaced(expected: dict[Path, str], found: dict[Path, str]) -> Iterator[Difference]:
    """Relations whose columns come in another order, those aside that only one side has."""
    for relation in (path for path in expected if len(path) == 1 and path in found):
        columns = [
            ", ".join(
                path[1].removeprefix("column ")
                for path in one
                if len(path) == 2 and path[0] == relation[0] and path[1].startswith("column ") and path in other
            )
            for one, other in ((expected, found), (found, expected))
        ]
        if columns[0] != columns[1]:
            yield Difference((*relation, "order of columns"), *columns)
