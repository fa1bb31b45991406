/*
 * uri_test.c
 *	  URIs of RFC 3986, and what is none or is refused for the sake of readers.
 *
 * Links: src/uri.c
 */
#include <time.h>

#include "exact_copy.h"
#include "tap.h"
#include "uri.h"

/* Absolute URIs, the RFC's own examples (section 1.1.2) first. */
static const char *const absolute[] = {
	"ftp://ftp.is.co.za/rfc/rfc1808.txt", "http://www.ietf.org/rfc/rfc2396.txt", "ldap://[2001:db8::7]/c=GB?objectClass?one", "mailto:John.Doe@example.com",
	"news:comp.infosystems.www.servers.unix", "tel:+1-816-555-1212", "telnet://192.0.2.16:80/", "urn:oasis:names:specification:docbook:dtd:xml:4.1.2",
	"https://ff.invalid/consumed", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "x:y", "a+b-c.1:/", "x:/", "x:?q", "x://h", "x://h?q", "x://h:/", "x://h:65535/",
	"x://u@h/", "x://u:p@h/", "x://@h", "x:///p", "x://[::]/", "x://[::1]", "x://[1::]", "x://[1:2:3:4:5:6:7:8]", "x://[1:2:3:4:5:6:7::]", "x://[::2:3:4:5:6:7:8]", "x://[1::3:4:5:6:7:8]",
	"x://[::ffff:192.0.2.1]", "x://[1:2:3:4:5:6:192.0.2.1]:80", "x://[ABCD:ef01::]", "x://999.1.1.1", "x:a%20b", "x:%Ff", "x:a//b", "x:!$&'()*+,;=:@-._~",
};

/* Relative references, and those with a fragment. */
static const char *const references[] = {
	"/ff/eu-1", "/", "//h", "//h/p", "///p", "ff", "ff/a:b", "./a:b", "../x", "a@b", "?q", "?", "#f", "a#f", "x:y#f", "/a%2Fb", "/ff/~user/-._~!$&'()*+,;=:@",
	"/a?b/c?d#e/f?g", "admin_ext", "/a//b", ".", "x://h#f",
};

static const char *const neither[] = {
	"", "ff eu 1", ":x", "1:x", "-a:b", "a_b:c", "/ff/%zz", "/ff/%", "/ff/%a", "/ff/{id}", "/ff/\xc3\xbc", "/a\nb", "/a\tb", "/a\x7f", "a\\b", "<a>", "a|b", "a^b", "a`b", "\"a\"",
	"/[a]", "/a#b#c", "/a##", " /a", "/a ", "x://h:8a", "x://h:-1", "x://a@b@c", "x://[::1", "x://::1]", "x://[]", "x://[:]", "x://[:::]", "x://[1:2:3:4:5:6:7]", "x://[1:2:3:4:5:6:7:8:9]",
	"x://[1::2::3]", "x://[1:2:3:4:5:6:7:8::]", "x://[::1:2:3:4:5:6:7:8]", "x://[12345::]", "x://[g::]", "x://[1:]", "x://[:1]", "x://[::1.2.3]", "x://[::1.2.3.256]", "x://[::01.2.3.4]",
	"x://[1.2.3.4]", "x://[::1.2.3.4:5]", "x://[::1.2.3.4.5]", "x://[::1]a", "x://[fe80::1%25eth0]", "x://h[::1]",
	/* Of the RFC, but not of every reader. */
	"x:", "X:y", "URN:a:b", "//", "x://", "x://?q", "//?q", "/a#", "#", "x://a%20b/", "x://[v1.x]/", "x://h:123456/", "x://a%20b@h/", "x://it's@h/", "x:#f",
};

static bool
check(bool (*is_uri) (const char *text, size_t length), const char *text, size_t length)
{
	char	   *copy = exact_copy(text, length);
	bool		result = is_uri(copy, length);

	free(copy);
	return result;
}

/* A text of a megabyte is looked at once: nothing in it makes the time grow by its square. */
static void
test_long(const char *piece)
{
	size_t		bytes = strlen(piece);
	size_t		length = (1 << 20) / bytes * bytes;
	char	   *text = malloc(length);
	clock_t		began = clock();

	for (size_t i = 0; i < length; i += bytes)
		memcpy(text + i, piece, bytes);
	(void) uri_is_reference(text, length);
	ok(clock() - began < 5 * CLOCKS_PER_SEC, "a megabyte of %s is judged within 5 s", piece);
	free(text);
}

int
main(void)
{
	static const char *const pieces[] = {"a", ":", "/", "//", "@", "?", "#", "%41", "[", "x://[1:", "."};

	for (size_t i = 0; i < LENGTH_OF(absolute); i++)
	{
		ok(check(uri_is_absolute, absolute[i], strlen(absolute[i])), "%s is absolute", absolute[i]);
		ok(check(uri_is_reference, absolute[i], strlen(absolute[i])), "%s is absolute, and a reference", absolute[i]);
	}
	for (size_t i = 0; i < LENGTH_OF(references); i++)
	{
		ok(check(uri_is_reference, references[i], strlen(references[i])), "%s is a reference", references[i]);
		ok(!check(uri_is_absolute, references[i], strlen(references[i])), "%s is not absolute", references[i]);
	}
	for (size_t i = 0; i < LENGTH_OF(neither); i++)
	{
		ok(!check(uri_is_reference, neither[i], strlen(neither[i])), "number %zu of the texts that are neither is no reference", i);
		ok(!check(uri_is_absolute, neither[i], strlen(neither[i])), "number %zu of the texts that are neither is not absolute", i);
	}
	ok(!check(uri_is_reference, "/a\0b", 4), "a byte 0 is in no reference");
	for (int c = 0; c < 256; c++)
	{
		char		text[] = {'/', (char) c, 'x'};
		bool		allowed = c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?#", c) != NULL;

		if (check(uri_is_reference, text, 3) != allowed)
			ok(false, "byte %d in a path is judged by the grammar", c);
	}
	for (size_t i = 0; i < LENGTH_OF(pieces); i++)
		test_long(pieces[i]);
	return tap_done();
}
