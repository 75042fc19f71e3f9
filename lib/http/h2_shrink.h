/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2_shrink.h - field sections (RFC 7541) with a name or value that is longer than the library
 * decodes (64 KiB): it would end the connection, where a head that is too large is its stream's
 * trouble. Such a string is overwritten, octet for octet and in any split, by a shorter one and
 * fields without meaning, so that frames keep their lengths. The compression table stays in step
 * with the peer's: what is left of the string is still larger than a table, and so empties it as
 * the whole would have. Pure; knows the boundaries of fields and strings, and decodes nothing. */
#ifndef SN_HTTP_H2_SHRINK_H
#define SN_HTTP_H2_SHRINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SN_H2_STRING_MAX 65536u /* as the library has it */

struct sn_h2_shrink {
	uint8_t state;
	uint8_t shift;	    /* of the next octet of the integer that is being read */
	bool name;	    /* the string that is being read is a name: its value follows */
	bool huffman;	    /* ... is coded so */
	bool named;	    /* a fill has begun with the value of a name that was cut */
	bool hit;	    /* a string was cut */
	uint64_t real;	    /* octets of the string, */
	uint64_t fake;	    /* and what is told of it */
	uint64_t left;	    /* octets of it to come */
	uint64_t gap;	    /* octets behind it that are to be filled */
	uint8_t head[6];    /* of a filling field */
	uint8_t n_head, at; /* octets of it, and how many are written */
	uint32_t value_left;
};

/* A section begins. */
void sn_h2_shrink_begin(struct sn_h2_shrink *z);
/* Its next @n octets, without padding and priority; changes them in place. */
void sn_h2_shrink(struct sn_h2_shrink *z, uint8_t *p, size_t n);

#endif
