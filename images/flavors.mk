# Code generated from the flavor files by "make gen"; DO NOT EDIT.

ENGBLD_FLAVORS = \
    triton-origin-multiarch-15.4.1 \
    triton-origin-x86_64-18.4.0 \
    triton-origin-x86_64-19.4.0 \
    triton-origin-x86_64-21.4.0 \
    triton-origin-x86_64-23.4.0 \
    triton-origin-x86_64-24.4.1

# What follows the name of a flavor is a goal, or several, of its Makefile. All
# images of one make have its time, commit and branch, and so its STAMP.
# ($(MAKE) stands in the recipes themselves, or make -n would not look into them.)
_ENGBLD_IMAGE_STAMP =	TIMESTAMP=$(call _ENGBLD_Q,$(TIMESTAMP)) ENGBLD_FACTS=$(call _ENGBLD_Q,$(_ENGBLD_FACTS)) \
    ENGBLD_FACTS_OF=$(call _ENGBLD_Q,$(TOP))

.PHONY: .engbld-always
.engbld-always:

triton-origin-multiarch-15.4.1-%: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory -C images/triton-origin-multiarch-15.4.1 $*

triton-origin-x86_64-18.4.0-%: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory -C images/triton-origin-x86_64-18.4.0 $*

triton-origin-x86_64-19.4.0-%: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory -C images/triton-origin-x86_64-19.4.0 $*

triton-origin-x86_64-21.4.0-%: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory -C images/triton-origin-x86_64-21.4.0 $*

triton-origin-x86_64-23.4.0-%: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory -C images/triton-origin-x86_64-23.4.0 $*

triton-origin-x86_64-24.4.1-%: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory -C images/triton-origin-x86_64-24.4.1 $*

# These are no goals of the image's Makefile, but verbs of engbld.
$(ENGBLD_FLAVORS:%=%-plan): %-plan: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) plan $*

$(ENGBLD_FLAVORS:%=%-lock): %-lock: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) lock $*

$(ENGBLD_FLAVORS:%=%-verify): %-verify: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) verify $*

$(ENGBLD_FLAVORS:%=%-audit): %-audit: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) audit $*

$(ENGBLD_FLAVORS:%=%-diff): %-diff: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) image diff $*

$(ENGBLD_FLAVORS:%=%-sbom): %-sbom: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) image sbom --beside $*

$(ENGBLD_FLAVORS:%=%-provenance): %-provenance: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) image provenance --beside $*

$(ENGBLD_FLAVORS:%=%-report): %-report: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) report -o $(call _ENGBLD_Q,$(ENGBLD_BITS_DIR)/$*/$*-report.html) $*

# What make all does. Any other goal of all flavors takes one more make, which is
# given the name of each: a rule here would split a goal that is several.
.PHONY: all-buildimage
all-buildimage: $(ENGBLD_FLAVORS:%=%-buildimage)

all-%: .engbld-always
	@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory $(foreach flavor,$(ENGBLD_FLAVORS),'$(flavor)-$*')

triton-origin-%: .engbld-always
	@printf '%s\n' $(call _ENGBLD_Q,error: "$@" is not a flavor and a goal) \
	    'hint:  say FLAVOR-GOAL; the flavors are: $(strip $(ENGBLD_FLAVORS))' >&2
	@exit 2
