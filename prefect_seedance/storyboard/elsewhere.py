"""What our fields are called elsewhere: in the shot lists of film crews and in the boards of other tools.

Names are compared without spaces, signs and capitals, as `plain` makes them.
"""

from __future__ import annotations

IDS = ("shotid", "shotcode")
SCENE = ("scene", "sceneno", "scenenumber", "sq", "seq", "sequence", "场次", "场景", "シーン")
SHOT = ("shot", "shotno", "shotnumber", "#", "sh", "cutno", "panel", "frame", "镜号", "镜头号", "镜头", "カットno")
CAMERA = (
    *("shotsize", "framing", "shottype", "type", "angle", "cameraangle", "movement", "cameramovement", "move"),
    *("cameramove", "lens", "equipment", "rig"),
    *("景别", "角度", "机位", "运镜", "镜头运动", "ショット", "アングル", "カメラワーク", "機材"),
)
"""The columns that are told as `camera`, in this order."""
SEEN = (
    *("description", "shotdescription", "action", "actiondescription", "visual", "visuals", "visualdescription"),
    *("primaryvisual", "video", "画面", "画面内容", "画面描述", "画", "映像", "内容"),
)
"""What a shot shows, the first before the others."""
SAID = ("script",)
"""What is said over a shot: its prompt only where nothing tells what is seen."""
DOUBTFUL = (*SAID, "video")
"""The columns that are taken for the prompts with a warning: a `Video` may hold names of files."""
RATE = ("framerate",)
"""That of the camera, in a list by scene and shot; elsewhere somebody means `fps`."""
COLUMNS = {
    **dict.fromkeys(IDS, "id"),
    **dict.fromkeys((*SEEN, *SAID), "prompt"),
    **dict.fromkeys(("note", "comments", "comment", "remarks", "备注", "備考"), "notes"),
    **dict.fromkeys(("dialog", "line", "lines", "actiondialogue", "台词", "对白", "セリフ", "台詞"), "dialogue"),
    **dict.fromkeys(
        ("seconds", "secs", "durations", "durationsec", "durationseconds", "length", "时长", "秒数"), "duration"
    ),
    **dict.fromkeys(("转场",), "transition"),
}
NOTHING = ("none", "null", "nan", "n/a", "#n/a", "-", "–", "—")
"""What people and programs write into a cell that holds nothing."""
BOARD_SHOTS = ("scenes", "clips")
"""Where the boards of other tools keep their shots."""
BOARD_TITLES = ("name", "project", "projecttitle", "sequencetitle")
BOARD_HEADERS = ("project", "meta", "metadata")
"""Fields of a board that hold its title among others."""
SHOT_FIELDS = {
    **dict.fromkeys((*IDS, "sceneid", "clipid", "shotnumber", "scenenumber"), "id"),
    **dict.fromkeys(
        ("videoprompt", *SEEN, "desc", "scenedescription", "visualprompt", "imageprompt", "frameprompt"), "prompt"
    ),
    **dict.fromkeys(("keyframeprompt", "motionprompt"), "prompt"),
}
"""What must be there in a shot, by its names in other tools; the first of them before the others."""
LENGTHS = dict.fromkeys(("seconds", "secs", "durationseconds", "durationsec", "durationsecs"), "duration")
"""The same for what need not be there: read so only where the shots as such are another tool's."""
