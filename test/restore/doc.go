// Package restore tests what the built tierd does with an archive: it restores, also after a kill, looks back, and
// measures how fast it restores.
package restore
