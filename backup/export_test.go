package backup

import "time"

// SetPause sets how long is waited before a call is repeated.
func SetPause(a *Archive, pause time.Duration) { a.pause = pause }
