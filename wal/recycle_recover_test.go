package wal

// Recoveries of files that were written over older ones.
var overOlderFiles = []recoveryCase{
	{
		name:  "over an older file",
		files: []*image{newImage(3, 560).frame("record-1").frame("record-2").over(older())},
		want:  "record-1 record-2",
	},
	{
		name:  "over an older file, nothing yet",
		files: []*image{newImage(2, 560).frame("record-1"), newImage(3, 560+oneFrame).over(older())},
		want:  "record-1",
	},
	{
		name:  "over an older file with frames at other places",
		files: []*image{newImage(3, 560).frame("record-1").frame("a longer record-2").over(older())},
		want:  "record-1 a longer record-2",
	},
	{
		name:  "over an older file, and closed",
		files: []*image{newImage(3, 560).frame("record-1").sealFrame().over(older())},
		want:  "record-1",
	},
	{
		name: "over an older file, then another",
		files: []*image{newImage(3, 560).frame("record-1").frame("record-2").over(older()),
			newImage(4, 560+2*oneFrame).frame("record-3").over(older())},
		want: "record-1 record-2 record-3",
	},
	{
		name:  "over an older file, torn before the header's sector",
		files: []*image{newImage(3, 560).frame("record-1").bytes(older().data[120:140]...).frame("record-2").cut(36).over(older())},
		want:  "record-1",
	},
	{
		name:  "over an older file, torn behind the header",
		files: []*image{newImage(3, 560).frame("record-1").frame("record-2").cut(16).over(older())},
		want:  "record-1", torn: "3:120",
	},
	{
		name:  "over an older file, torn inside the header",
		files: []*image{newImage(3, 560).frame("record-1").frame("record-2").cut(16 + 8).over(older())},
		want:  "record-1", torn: "3:120",
	},
	{
		name: "over an older file, a group whose first frame did not get there",
		files: []*image{newImage(3, 560).frame("record-1").lost(older(), func(im *image) { im.frame("record-2") }).
			group(560+oneFrame, "record-3").over(older())},
		want: "record-1",
	},
	{
		name: "over an older file, a frame that was synced is the older one's again",
		files: []*image{newImage(3, 560).frame("record-1").lost(older(), func(im *image) { im.frame("record-2") }).
			frame("record-3").over(older())},
		want:    "record-1",
		corrupt: "3:120", cause: "yet the frame at 672 says that all below 672 was on disk",
	},
	{
		name:  "over an older file, a bad frame before the seal",
		files: []*image{newImage(3, 560).frame("record-1").frame("record-2").damage(-10).sealFrame().over(older())},
		want:  "record-1", corrupt: "3:120", cause: "all below 672 was on disk",
	},
	{
		name: "over an older file, shorter than the next one says",
		files: []*image{newImage(3, 560).frame("record-1").over(older()),
			newImage(4, 560+2*oneFrame).frame("record-3")},
		corrupt: "3:120", cause: "yet the next file begins later, at 672",
	},
	{
		name:    "over an older file, with a bad header",
		files:   []*image{newImage(3, 560).frame("record-1").over(older()).damage(20)},
		corrupt: "3:0", cause: "header has a wrong checksum",
	},
	{
		name: "from the end, over an older file", from: 560 + oneFrame,
		files: []*image{newImage(3, 560).frame("record-1").over(older())},
	},
	{
		name: "from the end, over an older file, and the last frame damaged", from: 560 + oneFrame,
		files: []*image{newImage(3, 560).frame("record-1").damage(-10).over(older())},
	},
	{
		name: "from beyond the end, over an older file", from: 560 + 2*oneFrame,
		files:   []*image{newImage(3, 560).frame("record-1").over(older())},
		corrupt: "3:176", cause: "the replay should begin here, and no frame ends here",
	},
	{
		name: "from within a frame, over an older file", from: 568,
		files:   []*image{newImage(3, 560).frame("record-1").over(older())},
		corrupt: "3:72", cause: "the replay should begin here, and no frame ends here",
	},
}

// older is what a file held that is written over.
func older() *image {
	return newImage(1, 0).frame("older--1").frame("older--2").frame("older--3").group(0, "older--4").frame("older--5").sealFrame()
}

// lost adds the bytes of an older file in place of what fn adds.
func (im *image) lost(old *image, fn func(*image)) *image {
	n := len(im.data)
	fn(im)
	copy(im.data[n:], old.data[n:])
	return im
}
