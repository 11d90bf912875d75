//go:build unix

package blob

import "os"

// SyncFolder puts the names in a folder on the disk.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
