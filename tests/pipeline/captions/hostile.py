"""Captions as crawls bring them: kind → (as found, the reason that `wukong` gives, or none; what becomes of it)."""

from tuwen.manifests.recipe.rules import Captions

RULES = Captions(preset="wukong", emoji="remove", max_repetition=0.6, min_length=2)

_LONG = "一只猫坐在窗前看着外面的雨，而街上的行人撑着各色的伞匆匆走过湿漉漉的路口"

HOSTILE: dict[str, tuple[str | None, str, str]] = {
    # repaired and kept
    "full_width": ("  ＡＢＣ１２３　红色的车，很快！ ", "", "ABC123 红色的车，很快！"),
    "half_width_katakana": ("ｶﾗｵｹ店里唱歌的一家人", "", "カラオケ店里唱歌的一家人"),
    "traditional": ("價格￥１２８（含稅）的紅色連衣裙", "", "价格￥128（含税）的红色连衣裙"),
    "html": ("<p>一只<b>猫</b>&nbsp;在沙发上<br/>睡觉</p>", "", "一只猫 在沙发上 睡觉"),
    "html_escaped_twice": ("猫&amp;amp;狗&#20013;&lt;br&gt;玩", "", "猫&狗中 玩"),
    "less_than": ("三个数 3<5 而 a < b", "", "三个数 3<5 而 a < b"),
    "utf8_read_as_latin": ("红色的车".encode().decode("latin-1"), "", "红色的车"),
    "utf8_read_as_windows": ("ä¸\xadæ–‡çš„è·¯ç‰Œ", "", "中文的路牌"),
    "utf8_read_as_gbk": ("海边日落".encode().decode("gb18030"), "", "海边日落"),
    "zero_width": ("一\u200b只\ufeff黑\u2060猫\x00", "", "一只黑猫"),
    "bidi": ("\u202e一只黑猫\u202c", "", "一只黑猫"),
    "kangxi_radicals": ("⼀只⽝", "", "一只犬"),
    "rare_han": ("𠮷野家的牛肉饭", "", "𠮷野家的牛肉饭"),
    "square_metre": ("90㎡的小户型", "", "90m²的小户型"),
    "emoji": ("海边👨‍👩‍👧一家人🏖️1️⃣👍🏽🇨🇳", "", "海边一家人"),
    "signs_that_are_no_emoji": ("©2020 品牌™ ♪ 五线谱 ★", "", "©2020 品牌™ ♪ 五线谱 ★"),
    "brand_with_no": ("优の良品零食大礼包", "", "优の良品零食大礼包"),
    "cantonese": ("佢哋喺度食嘢", "", "佢哋喺度食嘢"),
    "product_with_latin": ("Apple苹果iPhone12手机壳", "", "Apple苹果iPhone12手机壳"),
    "describes_free": ("志愿者在社区免费发放口罩", "", "志愿者在社区免费发放口罩"),
    "describes_two_alike": ("一个男人背着另一个男人", "", "一个男人背着另一个男人"),
    # masked and kept
    "mobile": ("二手自行车 １３８１２３４５６７８", "", "二手自行车 〈手机〉"),
    "wechat": ("红色连衣裙，微信：abc_1990", "", "红色连衣裙，微信：〈微信〉"),
    "url": ("海边日落 www.example.com/a?b=1", "", "海边日落 〈网址〉"),
    "price_size_year": ("价格1280元 尺寸1920x1080 1990-1995年", "", "价格1280元 尺寸1920x1080 1990-1995年"),
    "order_number": ("订单号13812345678的包裹", "", "订单号13812345678的包裹"),
    # dropped
    "none": (None, "no_caption", ""),
    "blank": (" \u200b\u3000\n", "empty_caption", ""),
    "only_emoji": ("😀😀", "empty_caption", ""),
    "replacement_characters": ("一\ufffd猫\ufffd沙发", "broken_text", "一\ufffd猫\ufffd沙发"),
    "utf8_read_as_gbk_with_losses": ("涓�鍙尗鍦ㄦ捣杈�", "broken_text", "涓�鍙尗鍦ㄦ捣杈�"),
    "destroyed": ("锟斤拷锟斤拷", "broken_text", "锟斤拷锟斤拷"),
    "camera_name": ("IMG_2031.JPG", "file_name", "IMG_2031.JPG"),
    "chat_name": ("微信图片_20210301093015", "file_name", "微信图片_20210301093015"),
    "hash": ("d41d8cd98f00b204e9800998ecf8427e", "file_name", "d41d8cd98f00b204e9800998ecf8427e"),
    "only_a_mobile": ("138-1234-5678", "personal_data", "〈手机〉"),
    "english": ("a photo of a red car on a street", "foreign_language", "a photo of a red car on a street"),
    "english_with_a_name": ("Jack Ma (马云) at the Forum", "foreign_language", "Jack Ma (马云) at the Forum"),
    "japanese": ("東京の夜景を見る", "foreign_language", "東京の夜景を見る"),
    "korean": ("서울의 야경", "foreign_language", "서울의 야경"),
    "no_letter": ("2021-03-01", "too_few_han", "2021-03-01"),
    "button": ("点击查看大图", "boilerplate", "点击查看大图"),
    "rights": ("未经授权禁止转载", "boilerplate", "未经授权禁止转载"),
    "shop": ("夏季女鞋全场包邮", "boilerplate", "夏季女鞋全场包邮"),
    "stock_site": ("蓝色背景素材免费下载", "boilerplate", "蓝色背景素材免费下载"),
    "one_character_again": ("哈哈哈哈哈哈", "repetitive", "哈哈哈哈哈哈"),
    "phrase_again": ("红色连衣裙红色连衣裙", "repetitive", "红色连衣裙红色连衣裙"),
    "long": (_LONG, "too_many_han", _LONG),
    "one_character": ("猫", "caption_too_short", "猫"),
}  # fmt: skip
