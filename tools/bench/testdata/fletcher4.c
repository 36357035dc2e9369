/*
 * Sums standard input with fletcher-4 over little-endian 32-bit words, as ZFS
 * send streams are summed (spec zfs-stream.md section 4). The anchor of the
 * bench: what the sums alone cost in C.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned char buf[1 << 17];

int
main(void)
{
	uint64_t a = 0, b = 0, c = 0, d = 0;
	size_t have = 0;
	ssize_t n;

	while ((n = read(0, buf + have, sizeof (buf) - have)) > 0) {
		size_t i;
		have += (size_t)n;
		for (i = 0; i + 4 <= have; i += 4) {
			uint32_t w;
			memcpy(&w, buf + i, 4);
			a += w;
			b += a;
			c += b;
			d += c;
		}
		memmove(buf, buf + i, have - i);
		have -= i;
	}
	printf("%" PRIx64 "/%" PRIx64 "/%" PRIx64 "/%" PRIx64 "\n", a, b, c, d);
	return (n < 0 || have != 0);
}
