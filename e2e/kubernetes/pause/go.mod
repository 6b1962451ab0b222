module cairn.local/pause

go 1.26.8
