#!/bin/sh
# After installing and removing a package: systemd reads the units again. Nothing is started or stopped: when frontends
# are restarted, and in which order, is the operator's to say.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
