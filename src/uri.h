/*
 * uri.h
 *	  Is a text a URI of RFC 3986 that every reader takes?
 *
 * Pure C: no server headers, no allocation, no locale.  Each byte is looked at a fixed number of
 * times, whatever the text is.
 *
 * A few rare forms of the RFC are refused, because libraries in wide use fail on them or change
 * them (Java's java.net.URI, Go's net/url): a scheme with capital letters, a scheme or "//" with
 * nothing behind it, an empty fragment, a host with percent-encoded characters or of a future IP
 * version, a port of more than five digits, a user name with percent-encoded characters or one of
 * ! ' ( ) *.
 */
#ifndef ADMIN_EXT_URI_H
#define ADMIN_EXT_URI_H

#include <stdbool.h>
#include <stddef.h>

/* A URI-reference (section 4.1), such as /ff/eu-1 or urn:ff:1; not the empty one. */
extern bool uri_is_reference(const char *text, size_t length);

/* An absolute URI (section 4.3): with a scheme, without a fragment. */
extern bool uri_is_absolute(const char *text, size_t length);

#endif							/* ADMIN_EXT_URI_H */
