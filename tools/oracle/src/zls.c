/*
 * zls - list and check a ZPL version 5 file system in the scratch pool,
 * through the real ZAP, SA and DMU code.
 *
 *   zls [-nl] DIR [FS[@SNAP]]      default: the last stream's snapshot
 *
 * One line a path, sorted, the same on every machine:
 *   TYPE MODE UID:GID size=N nlink=N mtime=S.NS [sha256=..] [rdev=HEX]
 *        [acl=..] [xattr=..] PATH [-> TARGET]
 * PATH and TARGET with \ooo for odd bytes; acl= only where the entries are
 * not just those of the mode.  -n leaves the sha256 out.  -l is for file
 * systems made on Linux: those with POSIX ACLs flag entries as trivial that
 * never saw the umask; illumos would go by the entries.
 *
 * Lines on stderr that start with PROBLEM are inconsistencies which a mounted
 * file system might show as errors, leaks or panics.  Exit 0 clean, 3 when
 * there was any, 2 could not be opened, 4 an ASSERT in ZFS fired.
 */
#include "zo.h"
#include <sys/zfs_acl.h>
#include <sys/zfs_sa.h>
#include <sys/sha2.h>
#include <sys/stat.h>
#include <signal.h>
#include <stdarg.h>
#include <limits.h>

#define	PF_TRIVIAL	0x4ULL			/* bits of ZPL_FLAGS */
#define	PF_NO_EXECS_DENIED 0x100ULL

#define	OBJ(v)	((v) & 0xffffffffffffULL)	/* low 48 bits of a dirent */

static objset_t *os;
static sa_attr_type_t *attr;
static int problems, opt_nosum, opt_linux;

/* What is known of each object; grows on demand. */
struct obj { uint32_t found, links; uint8_t known, isdir; };
static struct obj *objs;
static uint64_t nobjs;

static struct obj *
ob(uint64_t o)
{
	if (o >= nobjs) {
		uint64_t n = MAX(o + 1, nobjs * 2);
		objs = realloc(objs, n * sizeof (*objs));
		memset(objs + nobjs, 0, (n - nobjs) * sizeof (*objs));
		nobjs = n;
	}
	return (&objs[o]);
}

static void
problem(uint64_t obj, const char *path, const char *fmt, ...)
{
	va_list ap;
	if (problems++ >= 100)
		return;
	fprintf(stderr, "PROBLEM object %lu %s: ", obj, path);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
}

/* An ASSERT in ZFS fired: say where we were. */
static char at[8300];

static void
aborted(int sig)
{
	fflush(stdout);
	fprintf(stderr, "PROBLEM (panic) while reading %s\n", at);
	_exit(4);
}

static void
put_quoted(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = s[i];
		if (c <= ' ' || c >= 0x7f || c == '\\')
			printf("\\%03o", c);
		else
			putchar(c);
	}
}

/* The ACL that stands for nothing but the mode: see spec zfs-stream.md. */
static int
is_trivial_for(mode_t m, int isdir, const uint32_t *a, int n)
{
	uint32_t want[12], allow0 = 0, deny1 = 0, deny2 = 0;
	uint32_t own = 0x1e0198, grp = 0x120088, all = 0x120088;
	static const uint32_t bit[3] = { 0x1, 0x6, 0x20 };
	int k = 0;
	for (int i = 0; i < 3; i++) {
		uint32_t b = bit[i] | (i == 1 && isdir ? 0x40 : 0);
		int u = m >> (8 - i) & 1, g = m >> (5 - i) & 1,
		    o = m >> (2 - i) & 1;
		deny1 |= !u && (g || o) ? b : 0;
		deny2 |= !g && o ? b : 0;
		allow0 |= u && !g && o ? b : 0;
		own |= u ? b : 0;
		grp |= g ? b : 0;
		all |= o ? b : 0;
	}
#define	ACE(t, f, mask)	(want[k++] = (t) | (uint32_t)(f) << 16, \
	want[k++] = (mask))
	if (allow0)
		ACE(0, 0x1000, allow0);
	if (deny1)
		ACE(1, 0x1000, deny1);
	if (deny2)
		ACE(1, 0x2040, deny2);
	ACE(0, 0x1000, own);
	ACE(0, 0x2040, grp);
	ACE(0, 0x4000, all);
	return (n == k / 2 && memcmp(want, a, k * 4) == 0);
}

static void
show_acl(uint64_t obj, const char *path, sa_handle_t *h, mode_t mode,
    uint64_t pflags)
{
	uint64_t count = 0;
	int len = 0;
	int e1 = sa_lookup(h, attr[ZPL_DACL_COUNT], &count, 8);
	int e2 = sa_size(h, attr[ZPL_DACL_ACES], &len);
	if (e1 != 0 || e2 != 0) {
		problem(obj, path, "no DACL_COUNT or DACL_ACES (%d, %d)", e1,
		    e2);
		return;
	}
	char *a = calloc(1, len + 8);
	VERIFY0(sa_lookup(h, attr[ZPL_DACL_ACES], a, len));
	/*
	 * Linux creates files with a directory's entries (chmod mends them);
	 * old illumos gave directories those of files.
	 */
	int plain = is_trivial_for(mode, 0, (uint32_t *)a, len / 8) ||
	    is_trivial_for(mode, 1, (uint32_t *)a, len / 8);
	int off = 0;
	uint64_t seen = 0;
	if (!plain)
		printf(" acl=");
	while (off + 8 <= len) {
		uint16_t type = *(uint16_t *)(a + off);
		uint16_t flags = *(uint16_t *)(a + off + 2);
		uint16_t who = flags & 0x7040;
		int sz = who == 0x1000 || who == 0x2040 || who == 0x4000 ? 8 :
		    type >= 5 && type <= 8 ? 48 : 16;
		if (off + sz > len)
			break;
		if (!plain) {
			printf("%s%u:%x:%x", seen ? "," : "", type, flags,
			    U32(a, off + 4));
			if (sz > 8)
				printf(":%lu", U64(a, off + 8));
		}
		off += sz;
		seen++;
	}
	if (off != len || seen != count)
		problem(obj, path, "ACL holds %lu entries in %d of %d bytes, "
		    "DACL_COUNT says %lu", seen, off, len, count);
	if ((pflags & PF_TRIVIAL) && !plain && !S_ISLNK(mode) && !opt_linux)
		problem(obj, path, "flagged trivial, but the ACL is not the "
		    "one of mode %o", mode & 07777);
	free(a);
}

/* Content and its shape. */
static void
show_content(uint64_t obj, const char *path, uint64_t size,
    const dmu_object_info_t *doi)
{
	static char buf[1 << 20];
	uint8_t d[32];
	SHA2_CTX ctx;
	uint64_t bs = doi->doi_data_block_size;

	if (doi->doi_max_offset > bs && (bs & (bs - 1)) != 0)
		problem(obj, path, "several blocks of %lu bytes, no power of "
		    "two", bs);
	if (size > bs && (bs & (bs - 1)) != 0)
		problem(obj, path, "size %lu is over its one block of %lu",
		    size, bs);
	if (opt_nosum)
		return;
	SHA2Init(SHA256, &ctx);
	for (uint64_t off = 0; off < size; off += sizeof (buf)) {
		uint64_t n = MIN(size - off, sizeof (buf));
		int err = dmu_read(os, obj, off, n, buf, DMU_READ_PREFETCH);
		if (err != 0) {
			problem(obj, path, "read at %lu: %s", off,
			    zo_errname(err));
			return;
		}
		SHA2Update(&ctx, buf, n);
	}
	SHA2Final(d, &ctx);
	printf(" sha256=");
	for (int i = 0; i < 32; i++)
		printf("%02x", d[i]);
	/* What lies behind the end must be zeros, lest the file grows. */
	for (uint64_t off = size; off < doi->doi_max_offset;
	    off += sizeof (buf)) {
		uint64_t n = MIN(doi->doi_max_offset - off, sizeof (buf));
		if (dmu_read(os, obj, off, n, buf, 0) != 0)
			break;
		for (uint64_t i = 0; i < n; i++)
			if (buf[i] != 0) {
				problem(obj, path, "bytes past the end of "
				    "file are not zero, at %lu", off + i);
				return;
			}
	}
}

struct ent { char *name; uint64_t val; };

static int
by_name(const void *a, const void *b)
{
	return (strcmp(((struct ent *)a)->name, ((struct ent *)b)->name));
}

static void node(uint64_t obj, uint64_t dir, int dtype, const char *path);

static void
directory(uint64_t obj, const char *path, uint64_t size, uint64_t links)
{
	zap_cursor_t zc;
	zap_attribute_t za;
	struct ent *e = NULL;
	uint64_t n = 0, sub = 0, v, count = 0;
	int err;

	for (zap_cursor_init(&zc, os, obj);
	    (err = zap_cursor_retrieve(&zc, &za)) == 0;
	    zap_cursor_advance(&zc)) {
		if (za.za_integer_length != 8 || za.za_num_integers != 1) {
			problem(obj, path, "entry %s is no single integer",
			    za.za_name);
			continue;
		}
		if (n % 256 == 0)
			e = realloc(e, (n + 256) * sizeof (*e));
		e[n].name = strdup(za.za_name);
		e[n++].val = za.za_first_integer;
		sub += (za.za_first_integer >> 60) == 4;
		/* a name that hashes wrongly is listed but cannot be found */
		err = zap_lookup(os, obj, za.za_name, 8, 1, &v);
		if (err != 0 || v != za.za_first_integer)
			problem(obj, path, "entry %s: lookup by name: %s",
			    za.za_name, err ? zo_errname(err) : "other value");
		if (strchr(za.za_name, '/') || strcmp(za.za_name, ".") == 0 ||
		    strcmp(za.za_name, "..") == 0 || !za.za_name[0])
			problem(obj, path, "entry name \"%s\"", za.za_name);
	}
	zap_cursor_fini(&zc);
	if (err != ENOENT)
		problem(obj, path, "reading the directory: %s",
		    zo_errname(err));
	if (zap_count(os, obj, &count) != 0 || count != n)
		problem(obj, path, "ZAP count %lu, entries %lu", count, n);
	if (size != n + 2)
		problem(obj, path, "directory size %lu, entries %lu + 2", size,
		    n);
	if (links != sub + 2)
		problem(obj, path, "directory links %lu, subdirectories "
		    "%lu + 2", links, sub);
	qsort(e, n, sizeof (*e), by_name);
	for (uint64_t i = 0; i < n; i++) {
		char p[8192];
		snprintf(p, sizeof (p), "%s/%s", path, e[i].name);
		if (i > 0 && strcmp(e[i].name, e[i - 1].name) == 0)
			problem(obj, p, "name twice in the directory");
		node(OBJ(e[i].val), obj, e[i].val >> 60, p);
		free(e[i].name);
	}
	free(e);
}

static void
node(uint64_t obj, uint64_t dir, int dtype, const char *path)
{
	static const char types[] = "?pc?d?b?f?l?sDP?";
	dmu_object_info_t doi;
	sa_handle_t *h;
	uint64_t mode = 0, size = 0, gen = 0, uid = 0, gid = 0, parent = 0;
	uint64_t pflags = 0, mt[2] = { 0 }, t2[2], links = 0, x;
	static const struct { int id, n; const char *name; } need[] = {
	    { ZPL_ATIME, 16, "ATIME" }, { ZPL_CTIME, 16, "CTIME" },
	    { ZPL_CRTIME, 16, "CRTIME" } };
	int err, len;

	snprintf(at, sizeof (at), "object %lu %s", obj, path);
	if ((err = dmu_object_info(os, obj, &doi)) != 0) {
		problem(obj, path, "dmu_object_info: %s", zo_errname(err));
		return;
	}
	if (doi.doi_bonus_type != DMU_OT_SA) {
		problem(obj, path, "bonus type %d", doi.doi_bonus_type);
		return;
	}
	if ((err = sa_handle_get(os, obj, NULL, SA_HDL_PRIVATE, &h)) != 0) {
		problem(obj, path, "sa_handle_get: %s", zo_errname(err));
		return;
	}
#define	GET(id, v)	do { \
	if ((err = sa_lookup(h, attr[ZPL_ ## id], (v), sizeof (*(v)))) != 0) \
		problem(obj, path, "no %s: %s", #id, zo_errname(err)); \
	} while (0)
	GET(MODE, &mode);
	GET(SIZE, &size);
	GET(GEN, &gen);
	GET(UID, &uid);
	GET(GID, &gid);
	GET(PARENT, &parent);
	GET(FLAGS, &pflags);
	GET(LINKS, &links);
	GET(MTIME, &mt);
	for (int i = 0; i < 3; i++)
		if (sa_lookup(h, attr[need[i].id], t2, need[i].n) != 0)
			problem(obj, path, "no %s", need[i].name);
	struct obj *o = ob(obj);
	o->found++;
	o->links = links;
	o->isdir = S_ISDIR(mode);
	if (doi.doi_type != (S_ISDIR(mode) ? DMU_OT_DIRECTORY_CONTENTS :
	    DMU_OT_PLAIN_FILE_CONTENTS))
		problem(obj, path, "object type %d for mode %lo", doi.doi_type,
		    mode);
	if (dtype != (mode >> 12 & 15))
		problem(obj, path, "directory entry type %d, mode %lo", dtype,
		    mode);
	if (parent != dir && (S_ISDIR(mode) || links == 1))
		problem(obj, path, "parent %lu, found in %lu", parent, dir);
	if ((pflags & PF_NO_EXECS_DENIED) && (mode & 0111) != 0111)
		problem(obj, path, "flag no-execs-denied with mode %lo", mode);
	printf("%c %04lo %lu:%lu size=%lu nlink=%lu mtime=%ld.%09lu",
	    types[mode >> 12 & 15], mode & 07777, uid, gid, size, links,
	    mt[0], mt[1]);
	if (mt[1] >= 1000000000)
		problem(obj, path, "mtime nanoseconds %lu", mt[1]);
	if (S_ISREG(mode))
		show_content(obj, path, size, &doi);
	if (S_ISCHR(mode) || S_ISBLK(mode)) {
		x = 0;
		GET(RDEV, &x);
		printf(" rdev=0x%lx", x);
	}
	show_acl(obj, path, h, mode, pflags);
	if (sa_lookup(h, attr[ZPL_XATTR], &x, 8) == 0 && x != 0) {
		printf(" xattr=dir");
		ob(x)->known = 1;
		zap_cursor_t zc;	/* its members are not listed */
		zap_attribute_t za;
		for (zap_cursor_init(&zc, os, x);
		    zap_cursor_retrieve(&zc, &za) == 0;
		    zap_cursor_advance(&zc))
			ob(OBJ(za.za_first_integer))->known = 1;
		zap_cursor_fini(&zc);
	}
	if (sa_size(h, attr[ZPL_DXATTR], &len) == 0)
		printf(" xattr=sa:%d", len);
	printf(" ");
	put_quoted(path, strlen(path));
	if (S_ISLNK(mode)) {
		char *t = calloc(1, 65536);
		err = sa_size(h, attr[ZPL_SYMLINK], &len);
		if (err == 0 && len == size &&
		    sa_lookup(h, attr[ZPL_SYMLINK], t, len) == 0) {
			printf(" -> ");
			put_quoted(t, len);
		} else {
			problem(obj, path, "symlink: size %lu, target %d "
			    "bytes, error %d", size, len, err);
		}
		free(t);
	}
	printf("\n");
	sa_handle_destroy(h);
	if (S_ISDIR(mode)) {
		if (o->found > 1)
			problem(obj, path, "directory reached twice");
		else
			directory(obj, path, size, links);
	}
}

static uint64_t
master(const char *name, int required)
{
	uint64_t v = 0;
	int err = zap_lookup(os, 1, name, 8, 1, &v);
	if (err != 0 && required)
		problem(1, "master node", "%s: %s", name, zo_errname(err));
	return (v);
}

int
main(int argc, char **argv)
{
	int c;
	char name[300], last[280] = "", path[PATH_MAX];
	while ((c = getopt(argc, argv, "nl")) != -1) {
		if (c == 'n')
			opt_nosum = 1;
		else if (c == 'l')
			opt_linux = 1;
		else
			return (2);
	}
	if (argc - optind < 1) {
		fprintf(stderr, "usage: zls [-nl] DIR [FS@SNAP]\n");
		return (2);
	}
	if (argc - optind > 1) {
		snprintf(last, sizeof (last), "%s", argv[optind + 1]);
	} else {			/* what zrecv took in last */
		snprintf(path, sizeof (path), "%s/received", argv[optind]);
		FILE *f = fopen(path, "r");
		while (f != NULL && fgets(last, sizeof (last), f) != NULL)
			last[strcspn(last, "\n")] = 0;
		if (f != NULL)
			fclose(f);
	}
	snprintf(name, sizeof (name), "%s/%s", ZO_POOL, last);
	signal(SIGABRT, aborted);
	zo_start(argv[optind], ZO_READ, NULL);
	int err = dmu_objset_own(name, DMU_OST_ZFS, B_TRUE, B_FALSE, FTAG,
	    &os);
	if (err != 0) {
		fprintf(stderr, "%s: %s\n", name, zo_errname(err));
		return (2);
	}
	if (master("VERSION", 1) != 5)
		problem(1, "master node", "ZPL version is not 5");
	uint64_t sa = master("SA_ATTRS", 1), root = master("ROOT", 1);
	uint64_t unl = master("DELETE_QUEUE", 1), o;
	if ((err = sa_setup(os, sa, zfs_attr_table, ZPL_END, &attr)) != 0) {
		problem(sa, "SA_ATTRS", "sa_setup: %s", zo_errname(err));
		return (3);
	}
	node(root, root, 4, ".");

	/* Links, and objects that nothing refers to. */
	static const char *sys[] = { "SA_ATTRS", "DELETE_QUEUE", "FUID",
	    "SHARES", "userquota@", "groupquota@", "projectquota@",
	    "userobjquota@", "groupobjquota@", "projectobjquota@" };
	ob(1)->known = 1;
	for (int i = 0; i < sizeof (sys) / sizeof (*sys); i++)
		ob(master(sys[i], 0))->known = 1;
	ob((zap_lookup(os, sa, "REGISTRY", 8, 1, &o), o))->known = 1;
	ob((zap_lookup(os, sa, "LAYOUTS", 8, 1, &o), o))->known = 1;
	zap_cursor_t zc;
	zap_attribute_t za;
	for (zap_cursor_init(&zc, os, unl); zap_cursor_retrieve(&zc, &za) == 0;
	    zap_cursor_advance(&zc)) {
		fprintf(stderr, "note: object %lu is in the delete queue\n",
		    za.za_first_integer);
		ob(za.za_first_integer)->known = 1;
	}
	zap_cursor_fini(&zc);
	for (o = 0; dmu_object_next(os, &o, B_FALSE, 0) == 0; ) {
		struct obj *p = ob(o);
		if (!p->found && !p->known)
			problem(o, "-", "allocated, but nothing refers to it");
		if (p->found && !p->isdir && p->found != p->links)
			problem(o, "-", "links %u, names %u", p->links,
			    p->found);
	}
	fflush(stdout);
	if (problems != 0)
		fprintf(stderr, "%d problem(s)\n", problems);
	_exit(problems ? 3 : 0);	/* read only: nothing to wind up */
}
