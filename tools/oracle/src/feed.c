/* feed.c - see feed.h: reading, checking and passing on a stream. */
#include "feed.h"
#include <stdarg.h>

struct shared *sh;

void
describe(const void *r, char *b, size_t n)
{
	unsigned t = U32(r, 0);
	if (t >= R_NTYPES) {
		snprintf(b, n, "type %u", t);
	} else if (t == R_OBJECT) {
		snprintf(b, n, "OBJECT object=%lu type=%u bonustype=%u "
		    "blksz=%u bonuslen=%u", U64(r, 8), U32(r, 16), U32(r, 20),
		    U32(r, 24), U32(r, 28));
	} else if (t == R_WRITE) {
		snprintf(b, n, "WRITE object=%lu type=%u offset=%lu "
		    "length=%lu", U64(r, 8), U32(r, 16), U64(r, 24),
		    U64(r, 32));
	} else if (t == R_FREE || t == R_SPILL || t == R_WRITE_EMBEDDED ||
	    t == R_FREEOBJECTS) {
		snprintf(b, n, "%s %lu %lu %ld", rec_names[t], U64(r, 8),
		    U64(r, 16), t == R_FREE ? (long)U64(r, 24) : 0L);
	} else {
		snprintf(b, n, "%s", rec_names[t]);
	}
}

/* A finding: something a careful sender would not emit. */
void
finding(struct feed *f, const void *rec, const char *fmt, ...)
{
	char d[256];
	va_list ap;
	if (f->quiet || sh->findings++ >= 20)
		return;
	describe(rec, d, sizeof (d));
	printf("FINDING record #%lu (offset %lu, %s): ", f->nrec, f->off, d);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void
set_blksz(struct feed *f, uint64_t obj, uint32_t v)
{
	if (obj >= f->nblksz && obj < (1ULL << 28)) {
		uint64_t n = MAX(obj + 1, f->nblksz * 2);
		f->blksz = realloc(f->blksz, n * 4);
		memset(f->blksz + f->nblksz, 0, (n - f->nblksz) * 4);
		f->nblksz = n;
	}
	if (obj < f->nblksz)
		f->blksz[obj] = v;
}

/* The rules for the most conservative receivers (see spec zfs-stream.md). */
static void
lint(struct feed *f, char *r)
{
	static const int guid_at[R_NTYPES] =
	    { 40, 40, 24, 40, 32, 40, 32, 24, 32, 24, 32 };
	unsigned t = U32(r, 0);
	uint64_t obj = U64(r, 8), bs;

	if (U64(r, guid_at[t]) != U64(f->begin, 40))
		finding(f, r, "toguid differs from BEGIN's");
	if (U32(r, 4) != 0)
		finding(f, r, "payloadlen is not 0 (only BEGIN's may be)");
	if (rec_payload_len(r) % 8 != 0)
		finding(f, r, "payload is not a multiple of 8 bytes");
	if (U64(r, CK_OFF) == 0 && U64(r, CK_OFF + 8) == 0 && !f->nosum++)
		finding(f, r, "record carries no checksum (said once)");
	if (t == R_WRITE_BYREF || t == R_OBJECT_RANGE || t == R_REDACT ||
	    t == R_WRITE_EMBEDDED)
		finding(f, r, "record type needs a stream feature flag");
	if (t == R_OBJECT || t == R_FREEOBJECTS) {
		if (obj < f->last_obj)
			finding(f, r, "object numbers go backwards");
		f->last_obj = t == R_OBJECT ? obj + 1 : obj + U64(r, 16);
	}
	if (t == R_OBJECT) {
		set_blksz(f, obj, U32(r, 24) + 1);
		if (U32(r, 24) > 131072)
			finding(f, r, "block size over 128 KiB");
		if (U8(r, 34) > 1)
			finding(f, r, "large dnode (dn_slots %u)", U8(r, 34));
		if (U8(r, 35) != 0)
			finding(f, r, "drr_flags 0x%x: SmartOS of early 2019 "
			    "refuses any", U8(r, 35));
		if (U8(r, 34) == 0)
			finding(f, r, "dn_slots 0: wrong for an object that "
			    "exists, on illumos of spring 2019");
		if (U8(r, 33) > 15)
			finding(f, r, "compression %u unknown to illumos",
			    U8(r, 33));
	}
	bs = obj < f->nblksz ? f->blksz[obj] : 0;
	if (t == R_WRITE || t == R_FREE || t == R_SPILL) {
		if (bs == 0)
			finding(f, r, "no OBJECT record for it before this");
	}
	if (t == R_WRITE) {
		if (obj < f->last_wobj ||
		    (obj == f->last_wobj && U64(r, 24) < f->last_woff))
			finding(f, r, "writes go backwards");
		f->last_wobj = obj;
		f->last_woff = U64(r, 24) + U64(r, 32);
		if (bs != 0 && U64(r, 32) != bs - 1)
			finding(f, r, "length is not the block size %lu",
			    bs - 1);
		else if (bs != 0 && U64(r, 24) % (bs - 1) != 0)
			finding(f, r, "offset not on a block boundary");
		if (U8(r, 50) != 0)
			finding(f, r, "compressed payload");
	}
	if (t == R_FREEOBJECTS && f->origin != NULL) {
		/*
		 * Receivers without the 2018 fix step over the object right
		 * behind a range's first one when that first one is free.
		 */
		dmu_object_info_t doi;
		if (U64(r, 16) > 1 && obj != 0 &&
		    dmu_object_info(f->origin, obj, &doi) == ENOENT &&
		    dmu_object_info(f->origin, obj + 1, &doi) == 0)
			finding(f, r, "range starts at a free object and the "
			    "next is allocated: SmartOS of early 2019 keeps it");
	}
}

static void
sum(struct feed *f, const void *p, uint64_t n)
{
	(void) fletcher_4_incremental_native((void *)p, n, &f->ck);
}

static int
put(struct feed *f, const char *p, uint64_t n)
{
	while (n > 0) {
		ssize_t w = write(f->fd, p, n);
		if (w <= 0)
			return (-1);	/* the receiver gave up */
		p += w;
		n -= w;
	}
	return (0);
}

/* Copy the stream into the pipe, checking every record on the way. */
void
feeder(void *arg)
{
	struct feed *f = arg;
	char r[REC_LEN], *buf = malloc(SPA_MAXBLOCKSIZE), extra;
	uint64_t plen = rec_payload_len(f->begin);

	sum(f, f->begin, REC_LEN);
	f->off = REC_LEN;
	f->nrec = 1;
	for (;;) {
		if (plen > SPA_MAXBLOCKSIZE) {
			printf("record #%lu: payload of %lu bytes\n", f->nrec,
			    plen);
			f->bad = 1;
			break;
		}
		if (plen != 0) {
			int got = gzread(f->gz, buf, plen);
			if (got > 0 && put(f, buf, got) != 0)
				break;
			if (got != (int)plen) {
				printf("stream ends inside the payload of "
				    "record #%lu\n", f->nrec - 1);
				f->bad = 1;
				break;
			}
			sum(f, buf, plen);
			f->off += plen;
		}
		if (f->limit != 0 && f->nrec >= f->limit) {
			memset(r, 0, REC_LEN);	/* our own early END */
			U32(r, 0) = R_END;
			memcpy(r + 8, &f->ck, 32);
			U64(r, 40) = U64(f->begin, 40);
			sum(f, r, CK_OFF);
			memcpy(r + CK_OFF, &f->ck, 32);
			(void) put(f, r, REC_LEN);
			break;
		}
		int got = gzread(f->gz, r, REC_LEN);
		if (got > 0 && put(f, r, got) != 0)
			break;
		if (got != REC_LEN) {
			printf("stream ends after record #%lu without END\n",
			    f->nrec - 1);
			f->bad = 1;
			break;
		}
		unsigned t = U32(r, 0);
		zio_cksum_t before = f->ck, zero = { { 0 } };
		if (t >= R_NTYPES || t == R_BEGIN) {
			printf("record #%lu: type %u\n", f->nrec, t);
			f->bad = 1;
			break;
		}
		f->count[t]++;
		sum(f, r, CK_OFF);
		if (memcmp(r + CK_OFF, &f->ck, 32) != 0 &&
		    memcmp(r + CK_OFF, &zero, 32) != 0) {
			char d[256];
			describe(r, d, sizeof (d));
			printf("checksum wrong at record #%lu (offset %lu, "
			    "%s): it or the payload before it was altered\n",
			    f->nrec, f->off, d);
			f->bad = 1;
		}
		sum(f, r + CK_OFF, 32);
		lint(f, r);
		plen = rec_payload_len(r);
		f->off += REC_LEN;
		sh->fed = ++f->nrec;
		if (t == R_END) {
			if (memcmp(r + 8, &before, 32) != 0) {
				printf("END's own checksum is wrong\n");
				f->bad = 1;
			}
			if (gzread(f->gz, &extra, 1) > 0)
				finding(f, r, "bytes follow END");
			break;
		}
	}
	close(f->fd);
	free(buf);
	mutex_enter(&f->mtx);
	f->done = 1;
	cv_signal(&f->cv);
	mutex_exit(&f->mtx);
	thread_exit();
}
