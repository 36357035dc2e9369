#!/usr/bin/bash
#
# Run once in a new zone: imports the service's manifest.
#

set -o errexit

if [[ ! -f /var/svc/setup_complete ]]; then
	/usr/sbin/svccfg import /opt/smartdc/hello/smf/manifests/hello.xml
	touch /var/svc/setup_complete
fi

exit 0
