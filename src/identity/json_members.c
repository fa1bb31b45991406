/*
 * json_members.c
 *	  See json_members.h.
 *
 * The parser calls back for every name and value.  What is deeper than the outermost object is
 * skipped, except for its names.
 */
#include "identity/json_members.h"

#include <math.h>

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "compat.h"

#define MOST_EXPONENT	400		/* more than any double has */
#define MOST_DIGITS		1000	/* as characters of a number */

typedef struct Reader
{
	JsonMembers *members;
	int			depth;			/* of objects and arrays that are open */
	JsonMember *current;
	/* Names of all objects that are open, one object after the other. */
	const char *names[JSON_MAX_MEMBERS];
	int			names_count;
	int			first_name[JSON_MAX_DEPTH + 1]; /* of the object at that depth */
	int			total;
	const char *fault;
} Reader;

static bool
names_again(const Reader *reader, const char *name)
{
	for (int i = reader->first_name[reader->depth]; i < reader->names_count; i++)
	{
		if (strcmp(reader->names[i], name) == 0)
			return true;
	}
	return false;
}

static compat_json_action
begin_level(void *state)
{
	Reader	   *reader = (Reader *) state;

	reader->depth++;
	reader->first_name[reader->depth] = reader->names_count;
	compat_json_done;
}

static compat_json_action
end_level(void *state)
{
	Reader	   *reader = (Reader *) state;

	reader->names_count = reader->first_name[reader->depth];
	reader->depth--;
	compat_json_done;
}

static compat_json_action
begin_object(void *state)
{
	Reader	   *reader = (Reader *) state;

	if (reader->depth == 1 && reader->current != NULL)
		reader->current->kind = JSON_KIND_OBJECT;
	return begin_level(state);
}

static compat_json_action
begin_array(void *state)
{
	Reader	   *reader = (Reader *) state;

	if (reader->depth == 1 && reader->current != NULL)
	{
		reader->current->kind = JSON_KIND_ARRAY;
		reader->current->all_strings = true;
	}
	return begin_level(state);
}

static JsonMember *
next_member(JsonMembers *members)
{
	if (members->count == members->capacity)
	{
		members->capacity *= 2;
		members->members = repalloc(members->members, members->capacity * sizeof(JsonMember));
	}
	return &members->members[members->count++];
}

static compat_json_action
begin_member(void *state, char *name, bool isnull)
{
	Reader	   *reader = (Reader *) state;

	if (reader->fault != NULL)
		compat_json_done;
	if (names_again(reader, name))
		reader->fault = "a JSON member is named twice";
	else if (reader->total == JSON_MAX_MEMBERS)
		reader->fault = "there are too many JSON members";
	else
	{
		reader->names[reader->names_count++] = name;
		reader->total++;
		if (reader->depth == 1)
		{
			reader->current = next_member(reader->members);
			memset(reader->current, 0, sizeof(JsonMember));
			reader->current->name = name;
		}
	}
	compat_json_done;
}

static compat_json_action
begin_element(void *state, bool isnull)
{
	Reader	   *reader = (Reader *) state;
	JsonMember *array = reader->current;

	/* Of an array that is a member of the outermost object. */
	if (reader->fault == NULL && reader->depth == 2 && array != NULL && array->kind == JSON_KIND_ARRAY)
	{
		if ((array->count & (array->count - 1)) == 0)
			array->strings = array->count == 0 ? palloc(sizeof(char *)) :
				repalloc(array->strings, 2 * array->count * sizeof(char *));
		array->strings[array->count++] = NULL;
	}
	compat_json_done;
}

static compat_json_action
end_element(void *state, bool isnull)
{
	Reader	   *reader = (Reader *) state;
	JsonMember *array = reader->current;

	if (reader->fault == NULL && reader->depth == 2 && array != NULL && array->kind == JSON_KIND_ARRAY &&
		array->strings[array->count - 1] == NULL)
		array->all_strings = false;
	compat_json_done;
}

static JsonKind
token_kind(JsonTokenType type)
{
	switch (type)
	{
		case JSON_TOKEN_STRING:
			return JSON_KIND_STRING;
		case JSON_TOKEN_NUMBER:
			return JSON_KIND_NUMBER;
		case JSON_TOKEN_TRUE:
		case JSON_TOKEN_FALSE:
			return JSON_KIND_BOOLEAN;
		default:
			return JSON_KIND_NULL;
	}
}

/* No claim has a number that the server's numeric type cannot hold. */
static bool
is_moderate(const char *number)
{
	const char *sign = strpbrk(number, "eE");

	/* Out of range it is LONG_MIN or LONG_MAX; the former has no absolute value. */
	long		exponent = sign == NULL ? 0 : strtol(sign + 1, NULL, 10);

	return strlen(number) <= MOST_DIGITS && !isinf(strtod(number, NULL)) &&
		exponent >= -MOST_EXPONENT && exponent <= MOST_EXPONENT;
}

static compat_json_action
read_scalar(void *state, char *token, JsonTokenType type)
{
	Reader	   *reader = (Reader *) state;
	JsonMember *member = reader->current;

	if (reader->fault != NULL)
		compat_json_done;
	if (type == JSON_TOKEN_NUMBER && !is_moderate(token))
		reader->fault = "a JSON number is out of range";
	else if (reader->depth == 0)
		reader->fault = "it is not a JSON object";
	else if (reader->depth == 1 && member != NULL)
	{
		member->kind = token_kind(type);
		member->text = token;
	}
	else if (reader->depth == 2 && type == JSON_TOKEN_STRING && member != NULL &&
			 member->kind == JSON_KIND_ARRAY)
		member->strings[member->count - 1] = token;
	compat_json_done;
}

/* Checked before parsing, because the parser is recursive. */
static bool
is_too_deep(const char *json, int length)
{
	bool		in_string = false;
	int			depth = 0;

	for (int i = 0; i < length; i++)
	{
		if (in_string && json[i] == '\\')
			i++;
		else if (json[i] == '"')
			in_string = !in_string;
		else if (!in_string && (json[i] == '{' || json[i] == '['))
		{
			if (++depth > JSON_MAX_DEPTH)
				return true;
		}
		else if (!in_string && (json[i] == '}' || json[i] == ']'))
			depth--;
	}
	return false;
}

static bool
begins_object(const char *json, int length)
{
	int			blanks = 0;

	while (blanks < length && strchr(" \t\r\n", json[blanks]) != NULL && json[blanks] != '\0')
		blanks++;
	return blanks < length && json[blanks] == '{';
}

/* The parser's escapes become texts of the database. */
#ifdef FRONTEND
#define OWN_ENCODING PG_UTF8
#else
#define OWN_ENCODING GetDatabaseEncoding()
#endif

#ifndef FRONTEND
static const char *
in_own_encoding(const char *json, int *length)
{
	const char *own = pg_any_to_server(json, *length, PG_UTF8);

	if (own != json)
		*length = strlen(own);
	return own;
}
#endif

static bool
is_json(const char *json, int length, const JsonSemAction *actions)
{
	return pg_parse_json(compat_json_lexer(json, length, OWN_ENCODING), unconstify(JsonSemAction *,
																				   actions)) == JSON_SUCCESS;
}

/*
 * A character that the database's encoding does not have is a fault of the token.  The caught error
 * leaves only memory behind.
 */
#ifdef FRONTEND
#define can_be_read(json, length, actions) is_json(json, length, actions)
#else
static bool
can_be_read(const char *json, int length, const JsonSemAction *actions)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool result = false;

	PG_TRY();
	{
		int			own_length = length;
		const char *own = in_own_encoding(json, &own_length);

		result = is_json(own, own_length, actions);
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		if (code != ERRCODE_UNTRANSLATABLE_CHARACTER && code != ERRCODE_FEATURE_NOT_SUPPORTED &&
			code != ERRCODE_CHARACTER_NOT_IN_REPERTOIRE)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return result;
}
#endif

const char *
json_members_parse(const char *json, int length, JsonMembers *members)
{
	Reader		reader = {.members = members};
	JsonSemAction actions = {
		.semstate = &reader,
		.object_start = begin_object,
		.object_end = end_level,
		.array_start = begin_array,
		.array_end = end_level,
		.object_field_start = begin_member,
		.array_element_start = begin_element,
		.array_element_end = end_element,
		.scalar = read_scalar
	};

	members->capacity = 16;
	members->members = palloc(members->capacity * sizeof(JsonMember));
	members->count = 0;
	/* The parser relies on the lengths of characters, so an invalid character would mislead it. */
	if (pg_encoding_verifymbstr(PG_UTF8, json, length) != length)
		return "it is not UTF-8";
	if (is_too_deep(json, length))
		return "its JSON is nested too deeply";
	if (!begins_object(json, length))
		return "it is not a JSON object";
	if (!can_be_read(json, length, &actions))
		return "it is not JSON, or has characters that the database's encoding has not";
	return reader.fault;
}

const JsonMember *
json_member(const JsonMembers *members, const char *name)
{
	for (int i = 0; i < members->count; i++)
	{
		if (strcmp(members->members[i].name, name) == 0)
			return &members->members[i];
	}
	return NULL;
}

const char *
json_member_string(const JsonMembers *members, const char *name)
{
	const JsonMember *member = json_member(members, name);

	return member != NULL && member->kind == JSON_KIND_STRING ? member->text : NULL;
}
