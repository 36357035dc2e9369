#!/usr/bin/bash
#
# Run once in a new zone of any of the services.
#

set -o errexit

for manifest in /opt/shop/*/*.xml; do
	/usr/sbin/svccfg import "$manifest"
done
