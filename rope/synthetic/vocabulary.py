"""The words that products are called by: categories, brands, colours, and what shops write around them."""

from dataclasses import dataclass
from typing import Final

__all__ = [
    "ASIDES",
    "AUDIENCES",
    "BRANDS",
    "CATEGORIES",
    "COLOUR_WORDS",
    "FILLERS",
    "OFF_TOPIC",
    "ON_TOPIC",
    "OPENINGS",
    "OPINIONS",
    "PATTERN_WORDS",
    "SLOGANS",
    "Brand",
    "Category",
]


@dataclass(frozen=True, slots=True)
class Brand:
    """An invented brand: the word printed on its products, and how it is said in Chinese."""

    latin: str
    chinese: str


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of product.

    Attributes:
        name: as in the `category` column; also the name of its shape.
        words: what shops and speakers call it, more or less exactly.
        attributes: selling points of which each product has some.
    """

    name: str
    words: tuple[str, ...]
    attributes: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _category(name: str, words: str, attributes: str) -> Category:
    return Category(name, _words(words), _words(attributes))


CATEGORIES: Final = (
    _category("dress", "连衣裙 裙子 长裙", "收腰 显瘦 法式 雪纺 度假 气质 中长款 泡泡袖"),
    _category("t_shirt", "T恤 短袖 上衣", "纯棉 宽松 圆领 透气 百搭 情侣装 重磅 速干"),
    _category("snack", "薯片 零食 膨化食品", "非油炸 香辣 海苔味 大包装 追剧 酥脆 番茄味 解馋"),
    _category("sneaker", "运动鞋 板鞋 鞋子", "软底 防滑 增高 网面 轻便 耐磨 跑步 缓震"),
    _category("cream", "面霜 乳霜 护肤霜", "补水 保湿 滋润 敏感肌 玻尿酸 清爽 提亮 修护"),
    _category("trousers", "裤子 长裤 直筒裤", "高腰 垂感 弹力 显高 阔腿 加绒 冰丝 工装"),
    _category("handbag", "手提包 包包 女包", "大容量 通勤 软皮 斜挎 高级感 轻奢 复古 托特"),
    _category("shampoo", "洗发水 洗发露 洗头膏", "去屑 控油 蓬松 柔顺 留香 防脱 氨基酸 无硅油"),
    _category("mug", "马克杯 杯子 咖啡杯", "陶瓷 带盖 大容量 手绘 可微波 情侣 礼盒装 加厚"),
    _category("lipstick", "口红 唇膏 唇釉", "哑光 显白 不沾杯 滋润 持久 丝绒 豆沙色 平价"),
    _category("backpack", "双肩包 书包 背包", "减负 防泼水 多隔层 电脑仓 学生 旅行 轻便 护脊"),
    _category("phone_case", "手机壳 保护套 手机套", "防摔 硅胶 磨砂 超薄 全包 磁吸 亲肤 镜头保护"),
    _category("cap", "帽子 棒球帽 鸭舌帽", "防晒 遮阳 软顶 显脸小 刺绣 透气 可调节 大头围"),
    _category("milk", "牛奶 纯牛奶 鲜奶", "高钙 低脂 全脂 整箱 儿童 早餐 草原 无添加"),
    _category("thermos", "保温杯 水壶 水杯", "不锈钢 长效 大容量 便携 弹盖 车载 防漏 真空"),
    _category("cushion", "抱枕 靠垫 靠枕", "可拆洗 回弹 沙发 办公室 护腰 绒面 加厚 北欧"),
    _category("soda", "汽水 饮料 苏打水", "零糖 气泡 果味 冰镇 整箱 清爽 罐装 夏日"),
    _category("watch", "手表 腕表 石英表", "防水 夜光 简约 商务 薄款 日历 学生 真皮"),
    _category("desk_lamp", "台灯 护眼灯 床头灯", "护眼 可调光 充电 宿舍 无频闪 暖光 触控 学习"),
    _category("umbrella", "雨伞 遮阳伞 折叠伞", "晴雨两用 防晒 抗风 自动 黑胶 便携 加大 双人"),
)
"""From the most frequent category to the rarest."""

_BRANDS: Final = _words("""
    VELORA 薇洛 NIMBO 宁博 KAZU 佳足 ORBIQ 欧比 LUMINA 露米 TERRO 泰若 FYNLA 芬拉 ZENKO 真可
    MARVIO 马维 SOLEI 索蕾 QUILLA 葵拉 BRENTO 布伦 HALYX 海莱 JUNIP 君普 CORVA 科瓦 PELLO 佩洛
    RIVANA 瑞娜 DUSKA 黛卡 OTTIMO 提莫 WESPA 薇帕 GELATI 格拉 YARROW 雅若 ASTRIX 星翠 MIMOSA 米莎
    KELVO 开沃 TUNDRA 腾达 PRISMO 璞墨 ELOWEN 艾洛 SABLE 赛铂 VINTRO 云卓
""")
BRANDS: Final = tuple(Brand(latin, chinese) for latin, chinese in zip(_BRANDS[::2], _BRANDS[1::2], strict=True))

COLOUR_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "red": ("红色", "酒红", "正红"),
    "orange": ("橙色", "橘色", "焦糖色"),
    "yellow": ("黄色", "姜黄", "鹅黄"),
    "green": ("绿色", "墨绿", "豆绿"),
    "cyan": ("青色", "湖蓝", "薄荷色"),
    "blue": ("蓝色", "藏青", "雾霾蓝"),
    "purple": ("紫色", "香芋紫", "葡萄紫"),
    "pink": ("粉色", "玫粉", "樱花粉"),
    "black": ("黑色", "炭黑"),
    "grey": ("灰色", "高级灰"),
    "white": ("白色", "米白", "奶白"),
}
"""Name of a colour -> what shops call it."""

PATTERN_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "plain": ("纯色", "简约"),
    "hoops": ("条纹", "横条"),
    "pinstripes": ("竖条纹", "条纹"),
    "diagonals": ("斜纹", "条纹"),
    "dots": ("波点", "圆点"),
    "checks": ("格子", "棋盘格"),
    "tartan": ("格纹", "英伦格"),
    "zigzag": ("折线纹", "几何"),
    "waves": ("波浪纹", "水波纹"),
    "flowers": ("碎花", "印花"),
    "halves": ("拼色", "撞色"),
}
"""Pattern -> what shops call it."""

AUDIENCES: Final = _words("女 男 男女同款 学生 家用 儿童 送礼 ins风 小众设计")
SLOGANS: Final = _words("""
    2024新款 官方旗舰店 正品保证 包邮 爆款 网红同款 限时特价 买一送一 夏季 秋冬 直播专享 现货速发
    工厂直销 高颜值
""")

OPENINGS: Final = _words("""
    家人们 哈喽大家好 来来来 姐妹们看过来 欢迎新进直播间的朋友 今天给大家分享一个 朋友们晚上好 大家看一下
""")
FILLERS: Final = _words("呃 那个 就是说 嗯 然后呢 对吧 是不是 真的 你看 啊")
ON_TOPIC: Final = _words("""
    这款{word}真的特别好用 你们要的{word}终于来了 我自己也在用这个{word} 看一下这个{colour}的 它是{pattern}的
    {attribute}的宝宝可以拍 主打一个{attribute} {brand}家的{word} 咱们{brand}这个牌子 {colour}{pattern}很好看
    这个{word}是{attribute}的
""")
"""What a speaker says about the product."""

OFF_TOPIC: Final = _words("""
    点点关注不迷路 左下角小黄车 运费险都给大家安排了 今天的价格真的很划算 库存不多了 三二一上链接
    想要的扣个一 拍下四十八小时内发货 不喜欢可以退 给主播点点赞 还有没有没抢到的 上次好多人说没买到
    质量大家放心 我给你们看一下细节 倒计时最后十单 新来的朋友先领一张券 九块九包邮到家 这个手感真的绝了
""")
"""What a speaker says whatever the product is."""

OPINIONS: Final = _words("""
    {word}收到了很喜欢 买的{colour}那款 {colour}比图片深一点 {pattern}的实物好看 确实{attribute} {attribute}这点很满意
    {brand}家的回购了 给家人买的{word} 这个{word}用了一周 {colour}{pattern}很耐看
""")
"""What a buyer writes about the product."""

ASIDES: Final = _words("""
    物流很快 包装有点简单 客服态度好 性价比高 和描述一样 先好评 有一点色差 朋友推荐的 还会再来 大小合适 比店里便宜
    等了三天才到
""")
"""What a buyer writes whatever the product is."""
