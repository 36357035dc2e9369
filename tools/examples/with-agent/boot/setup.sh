#!/usr/bin/bash
#
# Run once in a new zone.
#

/opt/smartdc/config-agent/bin/config-agent
