/*
 * uri.c
 *	  See uri.h.  The functions have the names of the rules in RFC 3986, appendix A.
 */
#include "uri.h"

#include <string.h>

#define UNRESERVED_MARKS	"-._~"
#define SUB_DELIMS			"!$&'()*+,;="
#define USER_DELIMS			"$&+,;="	/* of them, those that Go does not encode in a user name */
#define PORT_DIGITS			5
#define GROUP_DIGITS		4
#define IPV6_GROUPS			8

/* The part of the text that is looked at. */
typedef struct Span
{
	const char *at;
	const char *end;
} Span;

static bool
is_uri_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_alpha(char c)
{
	return is_uri_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool
is_uri_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_hex(char c)
{
	return is_uri_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* strchr() finds the byte 0 at the end of each string. */
static bool
is_character_of(char c, const char *characters)
{
	return c != '\0' && strchr(characters, c) != NULL;
}

/* Only unreserved characters and those that are given. */
static bool
is_made_of(Span span, const char *besides)
{
	for (; span.at < span.end; span.at++)
	{
		if (!is_alpha(*span.at) && !is_uri_digit(*span.at) && !is_character_of(*span.at, UNRESERVED_MARKS) && !is_character_of(*span.at, besides))
			return false;
	}
	return true;
}

/* pchar, percent-encoded ones among them, and slashes; and a question mark in query and fragment. */
static bool
is_path(Span span, const char *besides)
{
	while (span.at < span.end)
	{
		char		c = *span.at++;

		if (is_alpha(c) || is_uri_digit(c) || is_character_of(c, UNRESERVED_MARKS SUB_DELIMS "/:@") || is_character_of(c, besides))
			continue;
		if (c != '%' || span.end - span.at < 2 || !is_hex(span.at[0]) || !is_hex(span.at[1]))
			return false;
		span.at += 2;
	}
	return true;
}

/* What is before the first of these characters; the rest begins with it, or is empty. */
static Span
cut_span(Span *rest, const char *characters)
{
	Span		part = {rest->at, rest->at};

	while (part.end < rest->end && !is_character_of(*part.end, characters))
		part.end++;
	rest->at = part.end;
	return part;
}

/* dec-octet: 0 to 255 without leading zeros. */
static bool
is_octet(Span span)
{
	int			value = 0;

	if (span.end - span.at < 1 || span.end - span.at > 3 || (*span.at == '0' && span.end - span.at > 1))
		return false;
	for (; span.at < span.end; span.at++)
	{
		if (!is_uri_digit(*span.at))
			return false;
		value = value * 10 + *span.at - '0';
	}
	return value <= 255;
}

static bool
is_ipv4(Span span)
{
	for (int octet = 1; octet <= 4; octet++)
	{
		if (!is_octet(cut_span(&span, ".")))
			return false;
		if (octet < 4 && span.at++ == span.end)
			return false;
	}
	return span.at == span.end;
}

/* Groups of 16 bits between colons; one "::" stands for those that are missing. */
static bool
is_ipv6(Span span)
{
	int			groups = 0;
	bool		has_gap = span.end - span.at >= 2 && span.at[0] == ':' && span.at[1] == ':';

	if (has_gap)
		span.at += 2;
	while (span.at < span.end)
	{
		Span		group = {span.at, span.at};

		while (group.end < span.end && is_hex(*group.end))
			group.end++;
		if (group.end < span.end && *group.end == '.')
		{
			groups += 2;
			return is_ipv4(span) && (has_gap ? groups < IPV6_GROUPS : groups == IPV6_GROUPS);
		}
		if (group.end == group.at || group.end - group.at > GROUP_DIGITS || ++groups > IPV6_GROUPS)
			return false;
		span.at = group.end;
		if (span.at == span.end)
			break;
		if (*span.at++ != ':' || span.at == span.end)
			return false;
		if (*span.at != ':')
			continue;
		if (has_gap)
			return false;
		has_gap = true;
		span.at++;
	}
	return has_gap ? groups < IPV6_GROUPS : groups == IPV6_GROUPS;
}

/* name[:password] */
static bool
is_userinfo(Span span)
{
	Span		name = cut_span(&span, ":");

	if (span.at < span.end)
		span.at++;
	return is_made_of(name, USER_DELIMS) && is_made_of(span, USER_DELIMS);
}

/* Moves on behind the host. */
static bool
skip_host(Span *span)
{
	Span		literal;

	if (span->at == span->end || *span->at != '[')
		return is_made_of(cut_span(span, ":"), SUB_DELIMS);
	span->at++;
	literal = cut_span(span, "]");
	if (span->at == span->end || !is_ipv6(literal))
		return false;
	span->at++;
	return true;
}

/* [userinfo@]host[:port] */
static bool
is_authority(Span span)
{
	Span		rest = span;
	Span		userinfo = cut_span(&rest, "@");

	if (rest.at < rest.end)
	{
		if (!is_userinfo(userinfo))
			return false;
		span.at = rest.at + 1;
	}
	if (!skip_host(&span))
		return false;
	if (span.at == span.end)
		return true;
	if (*span.at++ != ':' || span.end - span.at > PORT_DIGITS)
		return false;
	while (span.at < span.end && is_uri_digit(*span.at))
		span.at++;
	return span.at == span.end;
}

/* [//authority]path[?query], with something in it. */
static bool
is_hierarchical(Span span)
{
	Span		authority;

	if (span.end - span.at >= 2 && span.at[0] == '/' && span.at[1] == '/')
	{
		span.at += 2;
		authority = cut_span(&span, "/?");
		if (!is_authority(authority))
			return false;
		if (authority.at == authority.end && (span.at == span.end || *span.at == '?'))
			return false;
	}
	else if (span.at == span.end)
		return false;
	return is_path(cut_span(&span, "?"), "") && is_path(span, "?");
}

/* Moves on behind the scheme and its colon, if there is one. */
static bool
skip_scheme(Span *span)
{
	Span		rest = *span;
	Span		scheme = cut_span(&rest, ":/?");

	if (rest.at == rest.end || *rest.at != ':')
		return false;
	if (scheme.at == scheme.end || !is_uri_lower(*scheme.at))
		return false;
	for (const char *c = scheme.at; c < scheme.end; c++)
	{
		if (!is_uri_lower(*c) && !is_uri_digit(*c) && !is_character_of(*c, "+-."))
			return false;
	}
	span->at = rest.at + 1;
	return true;
}

/* The first segment of a path without a scheme holds no colon: it would be one. */
static bool
is_relative(Span span)
{
	Span		rest = span;

	(void) cut_span(&rest, ":/?");
	return (rest.at == rest.end || *rest.at != ':') && is_hierarchical(span);
}

/* From the number sign on. */
static bool
is_fragment(Span span)
{
	return ++span.at < span.end && is_path(span, "?");
}

bool
uri_is_reference(const char *text, size_t length)
{
	Span		rest = {text, text + length};
	Span		span = cut_span(&rest, "#");
	bool		has_fragment = rest.at < rest.end;

	if (has_fragment && !is_fragment(rest))
		return false;
	if (skip_scheme(&span))
		return is_hierarchical(span);
	return span.at == span.end ? has_fragment : is_relative(span);
}

bool
uri_is_absolute(const char *text, size_t length)
{
	Span		span = {text, text + length};

	return skip_scheme(&span) && is_hierarchical(span);
}
